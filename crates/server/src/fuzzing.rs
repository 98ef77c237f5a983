//! For the fuzzing targets: what arrives before a peer has proven anything.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bellwether_types::{ClusterId, NodeId};
use bytes::Bytes;

use crate::lock::secret::{Secret, Side};
use crate::peer::Purpose;
use crate::peer::acceptor::{Acceptor, Answer, FRAME_BYTES};
use crate::peer::frame::{FrameReader, Hello, put_frame};

const CLUSTER: ClusterId = ClusterId(7);
const NODE: NodeId = NodeId(2);
const REMOVED: NodeId = NodeId(9);
const CHANNEL: [u8; 4] = [1, 2, 3, 4];
const NONCE: [u8; 32] = [9; 32];

/// A node accepts whoever sends these bytes. With `knows_secret` the second frame is replaced by the right proof.
///
/// # Panics
/// When somebody is accepted who has not proven the secret, or is not wanted; when somebody is not who is; when what was
/// read as a hello is not written so.
pub fn peer_handshake(sent: &[u8], knows_secret: bool) {
    let secret = Secret::known(b"the secret of the flock");
    let mut acceptor = Acceptor {
        cluster: CLUSTER,
        node: NODE,
        is_removed: &|node| node == REMOVED,
        secret: &secret,
        channel: &CHANNEL,
        nonce: NONCE,
        greeted: None,
    };
    let (mut reader, mut sent) = (FrameReader::default(), sent);
    let Some(first) = next_frame(&mut reader, &mut sent) else {
        return;
    };
    let hello = match acceptor.hear(first.clone()) {
        Answer::Challenge(nonce) => {
            assert_eq!(nonce, NONCE);
            Hello::decode(&first).expect("it was understood")
        }
        Answer::Refuse(_) => return,
        Answer::Removed | Answer::Accept { .. } => panic!("known at its first word"),
    };
    assert_eq!(hello.encode(), first);
    let proof = match knows_secret {
        true => secret
            .prove(Side::Connector, &[&CHANNEL, &first, &NONCE])
            .to_vec()
            .into(),
        false => match next_frame(&mut reader, &mut sent) {
            Some(frame) => frame,
            None => return,
        },
    };
    let is_new = hello.purpose == Purpose::Join && hello.from == NodeId(0);
    let is_other = ![NodeId(0), NODE, REMOVED].contains(&hello.from);
    let is_wanted = is_new || hello.cluster == CLUSTER && hello.to == NODE && is_other;
    match acceptor.hear(proof) {
        Answer::Accept { hello: accepted, .. } => assert!(knows_secret && is_wanted && accepted == hello),
        Answer::Refuse(reason) => assert!(!(knows_secret && is_wanted), "{reason}"),
        Answer::Removed => assert!(knows_secret && hello.from == REMOVED),
        Answer::Challenge(_) => panic!("challenged twice"),
    }
}

/// The next frame; `None` also when what comes is none.
fn next_frame(reader: &mut FrameReader, sent: &mut &[u8]) -> Option<Bytes> {
    let frame = pin!(reader.next(sent, FRAME_BYTES));
    match frame.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.ok().flatten(),
        Poll::Pending => panic!("a slice never lets anybody wait"),
    }
}

/// Handshakes as they are meant, of a peer that is wanted and of others.
pub fn peer_handshakes() -> Vec<Vec<u8>> {
    let hello = |cluster, from, to, purpose| {
        let hello = Hello {
            cluster: ClusterId(cluster),
            from: NodeId(from),
            to: NodeId(to),
            purpose,
            nonce: [5; 32],
        };
        let mut sent = bytes::BytesMut::new();
        put_frame(&mut sent, &hello.encode());
        put_frame(&mut sent, &[6; 32]);
        sent.to_vec()
    };
    vec![
        hello(7, 1, 2, Purpose::Control),
        hello(7, 3, 2, Purpose::Forward),
        hello(8, 1, 2, Purpose::Bulk),
        hello(7, 1, 3, Purpose::Snapshot),
        hello(7, 2, 2, Purpose::Control),
        hello(7, 9, 2, Purpose::Control),
        hello(0, 0, 0, Purpose::Join),
    ]
}
