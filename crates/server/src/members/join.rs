//! A node that joins asks any node of the cluster for a number; one that has moved tells where it is now.
//!
//! The asking node has proven the cluster's secret. A ticket, drawn once and kept in its data directory, makes sure that
//! one that asks twice, because it died in between, joins once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwether_session::Settings;
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{ClusterId, ErrorKind, NodeId, SqlError, Statement, Value};

use super::{Addresses, Member, Standing, parse_members, write_members};
use crate::config::Config;
use crate::lock::Stream;
use crate::node::Node;
use crate::peer::{FrameError, FrameReader, Hello, Purpose, greet, write_frame};
use crate::random::random_array;
use crate::system;

/// The longest frame here: a list of nodes.
const FRAME_BYTES: usize = 1 << 20;

/// The answer comes in this time, an election included, or the node asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Between attempts, while no node answers or none leads.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks, as long as it has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(pub u128);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// To become a member.
    Join {
        ticket: Ticket,
        addresses: Addresses,
        standing: Standing,
    },
    /// A member is here now.
    Moved { node: NodeId, addresses: Addresses },
}

/// What a node hears that has become a member, or is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub cluster: ClusterId,
    pub node: NodeId,
    /// All nodes, a line each.
    pub members: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Welcome(Welcome),
    /// Not now: nobody leads, for instance.
    Later(String),
    /// Not so.
    Refused(String),
}

/// Frozen.
mod kind {
    pub const JOIN: u8 = 1;
    pub const MOVED: u8 = 2;
    pub const WELCOME: u8 = 1;
    pub const LATER: u8 = 2;
    pub const REFUSED: u8 = 3;
}

/// A text that must be a value of ours.
fn parsed<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, DecodeError> {
    text.parse().map_err(|_| DecodeError::OutOfRange {
        what,
        value: text.len() as u64,
    })
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Request::Join {
                ticket,
                addresses,
                standing,
            } => {
                out.u8(kind::JOIN);
                out.u128(ticket.0);
                out.str(&addresses.to_string());
                out.str(standing.name());
            }
            Request::Moved { node, addresses } => {
                out.u8(kind::MOVED);
                out.u64(node.0);
                out.str(&addresses.to_string());
            }
        }
        out.into_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Request, DecodeError> {
        let mut input = Decoder::new(bytes);
        let request = match input.u8()? {
            kind::JOIN => Request::Join {
                ticket: Ticket(input.u128()?),
                addresses: parsed(input.str()?, "addresses")?,
                standing: parsed(input.str()?, "standing")?,
            },
            kind::MOVED => Request::Moved {
                node: NodeId(input.u64()?),
                addresses: parsed(input.str()?, "addresses")?,
            },
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "a request to join",
                    tag: u64::from(other),
                });
            }
        };
        input.finish()?;
        Ok(request)
    }
}

impl Answer {
    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Answer::Welcome(welcome) => {
                out.u8(kind::WELCOME);
                out.u128(welcome.cluster.0);
                out.u64(welcome.node.0);
                out.str(&welcome.members);
            }
            Answer::Later(why) => {
                out.u8(kind::LATER);
                out.str(why);
            }
            Answer::Refused(why) => {
                out.u8(kind::REFUSED);
                out.str(why);
            }
        }
        out.into_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
        let mut input = Decoder::new(bytes);
        let answer = match input.u8()? {
            kind::WELCOME => Answer::Welcome(Welcome {
                cluster: ClusterId(input.u128()?),
                node: NodeId(input.u64()?),
                members: input.str()?.to_owned(),
            }),
            kind::LATER => Answer::Later(input.str()?.to_owned()),
            kind::REFUSED => Answer::Refused(input.str()?.to_owned()),
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "an answer to who joins",
                    tag: u64::from(other),
                });
            }
        };
        input.finish()?;
        Ok(answer)
    }
}

/// Asks the node at this address until it is welcome. An error: why it never will be.
pub(crate) async fn ask_to_join(
    config: &Config,
    address: std::net::SocketAddr,
    standing: Standing,
    ticket: Ticket,
) -> Result<Welcome, String> {
    let request = Request::Join {
        ticket,
        addresses: config.addresses(),
        standing,
    };
    let stranger = |nonce| Hello {
        cluster: ClusterId(0),
        from: NodeId(0),
        to: NodeId(0),
        purpose: Purpose::Join,
        nonce,
    };
    loop {
        let nonce = random_array().map_err(|error| error.to_string())?;
        let asked = async {
            let stream = greet(address, &stranger(nonce), &config.secret).await?;
            ask(stream, &request).await
        };
        let why = match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(Answer::Welcome(welcome))) => {
                let is_sound = parse_members(&welcome.members).is_ok();
                return is_sound
                    .then_some(welcome)
                    .ok_or_else(|| "the cluster's list of nodes cannot be read".to_owned());
            }
            Ok(Ok(Answer::Refused(why))) => return Err(why),
            Ok(Err(error @ (FrameError::NotProven | FrameError::Refused(_)))) => {
                return Err(error.to_string());
            }
            Ok(Ok(Answer::Later(why))) => why,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        tracing::info!(%address, why, "not a member yet: asking again");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(mut stream: Stream, request: &Request) -> Result<Answer, FrameError> {
    write_frame(&mut stream, &request.encode()).await?;
    let frame = FrameReader::default().next(&mut stream, FRAME_BYTES).await?;
    let frame = frame.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
    Ok(Answer::decode(&frame)?)
}

/// A node that is found elsewhere than the list says tells the others, one after the other until one listens. It may be
/// that none of them can reach it, so it does not wait to hear from a leader.
pub(crate) async fn tell_moved(node: Arc<Node>) {
    let addresses = node.config.addresses();
    let request = Request::Moved {
        node: node.identity.node,
        addresses,
    };
    loop {
        let members = node.members.current();
        let is_known = |own: &Member| own.addresses == addresses;
        if members.get(node.identity.node).is_none_or(is_known) || node.stop.is_asked() {
            return;
        }
        let others = members
            .present()
            .filter(|member| member.node != node.identity.node);
        for other in others {
            let asked = async {
                let stream = node.caller.connect(other.node, Purpose::Join).await?;
                ask(stream, &request).await
            };
            match tokio::time::timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(Answer::Welcome(_))) => {
                    tracing::info!(%addresses, "the cluster knows where this node is now");
                    break;
                }
                answer => tracing::warn!(to = %other.node, ?answer, "could not tell where this node is now"),
            }
        }
        if members.present().count() == 1
            && let Err(error) = carry_out(&node, request.clone()).await
        {
            tracing::warn!(%error, "could not write down where this node is now");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Answers a peer that asks to join, or has moved.
pub(crate) async fn serve_join(
    node: Arc<Node>,
    mut reader: FrameReader,
    mut stream: Stream,
) -> Result<(), FrameError> {
    let Some(frame) = reader.next(&mut stream, FRAME_BYTES).await? else {
        return Ok(());
    };
    let request = Request::decode(&frame)?;
    tracing::info!(?request, "asked to join");
    let answer = match carry_out(&node, request).await {
        Ok(welcome) => Answer::Welcome(welcome),
        Err(error) if matches!(error.kind, ErrorKind::NoLeader | ErrorKind::UnknownOutcome) => {
            Answer::Later(error.to_string())
        }
        Err(error) => {
            let hint = error.hint.as_ref().map(|hint| format!(" {hint}"));
            Answer::Refused(format!("{error}.{}", hint.unwrap_or_default()))
        }
    };
    Ok(write_frame(&mut stream, &answer.encode()).await?)
}

async fn carry_out(node: &Arc<Node>, request: Request) -> Result<Welcome, SqlError> {
    let text = |text: String| Value::Text(text);
    let places = |addresses: Addresses| {
        let Addresses { peer, pg, http } = addresses;
        [peer, pg, http].map(|address| Value::Text(address.to_string()))
    };
    let (statement, find) = match request {
        Request::Join {
            ticket,
            addresses,
            standing,
        } => {
            let mut parameters = places(addresses).to_vec();
            parameters.extend([text(standing.name().to_owned()), text(ticket.to_string())]);
            // Asked again after it was welcome: where it is may be another place, what it is wanted to be stays.
            let sql = "INSERT INTO nodes (id, peer, pg, http, standing, ticket) \
                 SELECT max(id) + 1, $1, $2, $3, $4, $5 FROM nodes WHERE true \
                 ON CONFLICT (ticket) DO UPDATE SET peer = $1, pg = $2, http = $3";
            let find = Statement::bound(
                "SELECT id FROM nodes WHERE ticket = $1",
                vec![text(ticket.to_string())],
            );
            (Statement::bound(sql, parameters), find)
        }
        Request::Moved { node, addresses } => {
            let id = Value::Integer(node.0.cast_signed());
            let mut parameters = places(addresses).to_vec();
            parameters.push(id.clone());
            let sql =
                "UPDATE nodes SET peer = $1, pg = $2, http = $3 WHERE id = $4 AND standing <> 'removed'";
            let find = Statement::bound("SELECT id FROM nodes WHERE id = $1", vec![id]);
            (Statement::bound(sql, parameters), find)
        }
    };
    let settings = Settings::new(node.identity.cluster, "postgres");
    let changed = system::change(node, vec![statement], &settings).await;
    changed.map_err(|error| match error.kind {
        ErrorKind::UniqueViolation => SqlError::new(
            ErrorKind::UniqueViolation,
            "another node of the cluster has this address for peers",
        )
        .with_hint("If that one is no more, remove it first: bellwether node remove N."),
        _ => error,
    })?;
    node.members.read(node.system(), &node.data_dir).await?;
    let rows = system::query(node.system(), &find).await?;
    match rows.first().map(Vec::as_slice) {
        Some([Value::Integer(number)]) => Ok(Welcome {
            cluster: node.identity.cluster,
            node: NodeId(number.cast_unsigned()),
            members: write_members(&node.members.current()),
        }),
        _ => Err(SqlError::new(
            ErrorKind::NoLeader,
            "the list of nodes is not up to date here",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_read_back() {
        let addresses: Addresses = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3".parse().expect("three");
        for request in [
            Request::Join {
                ticket: Ticket(7),
                addresses,
                standing: Standing::Learner,
            },
            Request::Moved {
                node: NodeId(3),
                addresses,
            },
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for answer in [
            Answer::Welcome(Welcome {
                cluster: ClusterId(9),
                node: NodeId(4),
                members: "1=…\n".to_owned(),
            }),
            Answer::Later("nobody leads".to_owned()),
            Answer::Refused("no".to_owned()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }
}
