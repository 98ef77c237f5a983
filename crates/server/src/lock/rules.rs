//! Who needs which proof: an ordered list in the form of PostgreSQL's `pg_hba.conf`. The first line that fits
//! decides; a connection that no line fits is refused.

use std::fmt;
use std::net::IpAddr;

/// What `serve` and `up` use when they are given no list: this machine is trusted, all others need TLS and a
/// password.
pub const DEFAULT_RULES: &str = "\
# TYPE  DATABASE USER ADDRESS      METHOD
host    all      all  127.0.0.0/8  trust
host    all      all  ::1/128      trust
hostssl all      all  all          scram-sha-256
";

/// The proof that a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// None.
    Trust,
    /// A password, by SCRAM.
    Scram,
    /// There is none.
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Any,
    Tls,
    Plain,
    /// A Unix socket. There is none here, so such a line fits nothing.
    Local,
}

/// `all`, or names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    /// Databases only: that of the user's name.
    Some {
        names: Vec<String>,
        same_user: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    line: usize,
    transport: Transport,
    databases: Names,
    users: Names,
    /// `None`: all.
    network: Option<Network>,
    method: Method,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::parse(DEFAULT_RULES).expect("the text above is well-formed")
    }
}

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for InvalidRule {}

impl Rules {
    /// Reads a list. Methods and kinds of addresses that are not built are errors: a line is never passed over.
    pub fn parse(text: &str) -> Result<Rules, InvalidRule> {
        let mut rules = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let wrong = |reason| InvalidRule { line: number, reason };
            let words = words(line).map_err(wrong)?;
            if !words.is_empty() {
                rules.push(rule(&words, number).map_err(wrong)?);
            }
        }
        Ok(Rules { rules })
    }

    /// What a connection must prove; `None`: no line fits it.
    pub(crate) fn method(&self, from: IpAddr, over_tls: bool, user: &str, database: &str) -> Option<Method> {
        let from = from.to_canonical();
        let fits = |rule: &&Rule| {
            rule.transport.fits(over_tls)
                && rule.databases.fit(database, user)
                && rule.users.fit(user, user)
                && rule.network.is_none_or(|network| network.contains(from))
        };
        self.rules.iter().find(fits).map(|rule| rule.method)
    }

    /// The first line that would let another machine in without a password or without TLS. Earlier lines that
    /// reject are not considered: a list is to be safe line by line.
    pub(crate) fn open_to_others(&self) -> Option<usize> {
        let is_open = |rule: &&Rule| {
            let reaches_others = rule.transport != Transport::Local
                && rule.network.is_none_or(|network| !network.is_within_loopback());
            let is_weak = match rule.method {
                Method::Trust => true,
                Method::Scram => rule.transport != Transport::Tls,
                Method::Reject => false,
            };
            reaches_others && is_weak
        };
        self.rules.iter().find(is_open).map(|rule| rule.line)
    }
}

impl Transport {
    fn fits(self, over_tls: bool) -> bool {
        match self {
            Transport::Any => true,
            Transport::Tls => over_tls,
            Transport::Plain => !over_tls,
            Transport::Local => false,
        }
    }
}

impl Names {
    fn fit(&self, name: &str, user: &str) -> bool {
        match self {
            Names::All => true,
            Names::Some { names, same_user } => {
                names.iter().any(|known| known == name) || (*same_user && name == user)
            }
        }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        // Equal once the bits that do not count are shifted out; a shift by all bits is not defined.
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    fn is_within_loopback(self) -> bool {
        let least_bits = if self.address.is_ipv4() { 8 } else { 128 };
        self.address.is_loopback() && self.bits >= least_bits
    }

    fn parse(text: &str) -> Result<Network, String> {
        let no_address = || {
            format!(
                "\"{text}\" is no address: write 192.0.2.0/24, ::1/128 or all; names of hosts are not supported"
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_address())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| no_address())?;
        if bits > most {
            return Err(no_address());
        }
        Ok(Network { address, bits })
    }
}

/// A word, and whether it was quoted: then `all` is a name.
type Word = (String, bool);

/// Words up to a `#`; names with blanks or commas stand in double quotes.
fn words(line: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut words: Vec<Vec<Word>> = Vec::new();
    let mut continues = false;
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = quoted.split_once('"').ok_or("a quote is not closed")?;
            ((word.to_owned(), true), after)
        } else {
            let end = rest.find([' ', '\t', ',', '"', '#']).unwrap_or(rest.len());
            ((rest[..end].to_owned(), false), &rest[end..])
        };
        if word.0.is_empty() {
            return Err("a name is empty".to_owned());
        }
        match words.last_mut() {
            Some(list) if continues => list.push(word),
            _ => words.push(vec![word]),
        }
        continues = after.starts_with(',');
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Ok(words)
}

fn rule(words: &[Vec<Word>], line: usize) -> Result<Rule, String> {
    let single = |words: &[Word]| match words {
        [(word, _)] => Ok(word.to_ascii_lowercase()),
        _ => Err("a list stands where one word is expected".to_owned()),
    };
    let [transport, databases, users, rest @ ..] = words else {
        return Err("expected TYPE DATABASE USER ADDRESS METHOD".to_owned());
    };
    let transport = match single(transport)?.as_str() {
        "host" => Transport::Any,
        "hostssl" => Transport::Tls,
        "hostnossl" => Transport::Plain,
        "local" => Transport::Local,
        other => return Err(format!("\"{other}\" is none of host, hostssl, hostnossl, local")),
    };
    let (network, method) = match (transport, rest) {
        (Transport::Local, [method]) => (None, method),
        (Transport::Local, _) => return Err("local has no address".to_owned()),
        (_, [network, method]) => match single(network)?.as_str() {
            "all" => (None, method),
            "samehost" | "samenet" => return Err("samehost and samenet are not supported".to_owned()),
            network => (Some(Network::parse(network)?), method),
        },
        _ => return Err("expected TYPE DATABASE USER ADDRESS/BITS METHOD, without options".to_owned()),
    };
    let method = match single(method)?.as_str() {
        "trust" => Method::Trust,
        "scram-sha-256" => Method::Scram,
        "reject" => Method::Reject,
        other => {
            return Err(format!(
                "method \"{other}\" is none of trust, scram-sha-256, reject"
            ));
        }
    };
    Ok(Rule {
        line,
        transport,
        databases: names(databases, true)?,
        users: names(users, false)?,
        network,
        method,
    })
}

fn names(words: &[Word], of_databases: bool) -> Result<Names, String> {
    let mut names = Vec::new();
    let mut same_user = false;
    for (word, is_quoted) in words {
        match word.as_str() {
            "all" if !is_quoted => return Ok(Names::All),
            "sameuser" if of_databases && !is_quoted => same_user = true,
            "samerole" | "samegroup" | "replication" if of_databases && !is_quoted => {
                return Err(format!("{word} is not supported"));
            }
            word if !is_quoted && word.starts_with(['+', '@', '/']) => {
                return Err(format!(
                    "\"{word}\": groups, files and patterns are not supported"
                ));
            }
            word => names.push(word.to_owned()),
        }
    }
    Ok(Names::Some { names, same_user })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn by_default_this_machine_is_trusted_and_others_need_tls_and_a_password() {
        let method = |from, tls| Rules::default().method(ip(from), tls, "ada", "postgres");
        assert_eq!(method("127.0.0.1", false), Some(Method::Trust));
        assert_eq!(method("::1", true), Some(Method::Trust));
        assert_eq!(method("::ffff:127.0.0.1", false), Some(Method::Trust));
        assert_eq!(method("192.0.2.1", true), Some(Method::Scram));
        assert_eq!(method("192.0.2.1", false), None);
        assert_eq!(method("2001:db8::1", false), None);
        assert_eq!(Rules::default().open_to_others(), None);
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        let rules = rules(
            "host all mallory all reject # not him\n\
             hostssl \"my db\",postgres ada,bob 192.0.2.0/24 scram-sha-256\n\
             local all all trust\n\
             host sameuser all 192.0.2.7 scram-sha-256",
        );
        let method = |from, user, database| rules.method(ip(from), true, user, database);
        assert_eq!(method("127.0.0.1", "mallory", "postgres"), Some(Method::Reject));
        assert_eq!(method("192.0.2.255", "bob", "my db"), Some(Method::Scram));
        assert_eq!(method("192.0.3.0", "bob", "my db"), None);
        assert_eq!(method("192.0.2.7", "eve", "eve"), Some(Method::Scram));
        assert_eq!(method("192.0.2.8", "eve", "eve"), None);
    }

    #[test]
    fn lines_that_are_open_to_other_machines_are_found() {
        for (text, line) in [
            ("host all all 127.0.0.1/32 trust\nhost all all all trust", Some(2)),
            ("host all all 127.0.0.0/7 trust", Some(1)),
            ("host all all 0.0.0.0/0 scram-sha-256", Some(1)),
            ("hostssl all all ::/0 trust", Some(1)),
            ("hostssl all all all scram-sha-256", None),
            (
                "host all all all reject\nhost all all ::1 trust\nlocal all all trust",
                None,
            ),
        ] {
            assert_eq!(rules(text).open_to_others(), line, "{text}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_by_its_line() {
        for (text, reason) in [
            ("host all all all md5", "method \"md5\""),
            ("\n\nhost all all all", "expected TYPE"),
            ("host all +staff all trust", "groups"),
            ("host all all example.com trust", "names of hosts"),
            ("host all all 192.0.2.0 255.255.255.0 trust", "without options"),
            ("host all all 192.0.2.0/33 trust", "is no address"),
            ("unix all all trust", "none of host"),
            ("host replication all all trust", "replication"),
            ("host \"all all all trust", "not closed"),
        ] {
            let error = Rules::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(Rules::parse("\n# x\nnonsense").expect_err("no rule").line, 3);
    }

    #[test]
    fn networks_contain_what_their_bits_say() {
        let network = |text: &str| Network::parse(text).expect("valid");
        assert!(network("0.0.0.0/0").contains(ip("255.1.2.3")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
        assert!(network("10.1.2.3").contains(ip("10.1.2.3")));
        assert!(!network("10.1.2.3").contains(ip("10.1.2.2")));
        assert!(!network("0.0.0.0/0").contains(ip("::1")));
    }
}
