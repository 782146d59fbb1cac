//! A client for addresses that strangers give: it connects to public addresses only, and to networks that are allowed.
//!
//! The check is where the connection is made. Every address that a name resolves to is checked, and the client connects to
//! one of those that passed, so that a name that resolves differently a moment later (DNS rebinding) gains nothing. An
//! address that is written as a number, in whatever notation, was made a plain one by the URL's parser
//! (<https://url.spec.whatwg.org/#host-parsing>). Redirects are checked in the same way.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::{Host, Url};

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Networks that may be connected to although they are not public.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is public, or in one of the networks.
    fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.contains(&address))
    }
}

/// Networks in CIDR notation or single addresses, separated by commas. The error is the end of a sentence.
impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let text = text.trim();
            let parsed = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
            parsed.map_err(|_| format!("“{text}” is not a network such as 192.168.0.0/16 or fd00::/8"))
        };
        text.split(',')
            .filter(|text| !text.trim().is_empty())
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Why a request is not made. The text is the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    #[error("{0} is in a network that this service may not connect to")]
    Forbidden(String),
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
}

/// A client that connects to public addresses and to `networks` only. Addresses of requests must be checked by
/// [`GuardedClient::check`], which [`GuardedClient::get`] does.
pub fn guarded(networks: Networks) -> reqwest::Result<GuardedClient> {
    let of_redirects = networks.clone();
    let redirects = Policy::custom(move |attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(GuardError::TooManyRedirects);
        }
        match check(&of_redirects, attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(error) => attempt.error(error),
        }
    });
    let client = super::builder()
        .redirect(redirects)
        // The query of an address may be a secret.
        .referer(false)
        .dns_resolver(Arc::new(GuardedResolver(networks.clone())))
        // A proxy would make the connection, unchecked.
        .no_proxy()
        .build()?;
    Ok(GuardedClient { client, networks })
}

/// See [`guarded`].
#[derive(Debug, Clone)]
pub struct GuardedClient {
    client: reqwest::Client,
    networks: Networks,
}

impl GuardedClient {
    /// A request for this address, if it may be asked.
    pub fn get(&self, url: Url) -> Result<reqwest::RequestBuilder, GuardError> {
        check(&self.networks, &url)?;
        Ok(self.client.get(url))
    }
}

/// Checks an address that is a number; names are checked when they are resolved.
fn check(networks: &Networks, url: &Url) -> Result<(), GuardError> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if networks.allow(address) { Ok(()) } else { Err(GuardError::Forbidden(address.to_string())) }
}

/// Resolves names by the system, and fails if any of their addresses is forbidden.
#[derive(Debug)]
struct GuardedResolver(Networks);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !networks.allow(address.ip())) {
                let error: Box<dyn Error + Send + Sync> =
                    GuardError::Forbidden(name.as_str().to_owned()).into();
                return Err(error);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address can be reached from everywhere, by the registries of special addresses (RFC 6890 and its updates).
/// Addresses that contain an IPv4 address are judged by it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // Shared by providers, for protocols, for tests of networks, for 6to4 relays, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b))
        || (a, b, c) == (192, 88, 99)
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        // Of the form ::a.b.c.d and ::ffff:a.b.c.d, with ::1 and ::.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => high != 0 && is_public_v4(v4(high, low)),
        // NAT64, and 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // Of what is left, only the global unicast addresses, without Teredo, benchmarks, ORCHID and documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(networks: &str, url: &str) -> bool {
        check(&networks.parse().unwrap(), &url.parse().unwrap()).is_ok()
    }

    #[test]
    fn numbers_of_inner_networks_are_refused_in_every_notation() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://10.0.0.1/",
            "http://172.31.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.64.0.1/",
            "http://192.0.0.8/",
            "http://198.18.0.1/",
            "http://203.0.113.7/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b:1::1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001::1]/",
            "http://[2001:db8::1]/",
            "http://[fe80::1]/",
            "http://[fec0::1]/",
            "http://[fd00::1]/",
            "http://[ff02::1]/",
        ] {
            assert!(!allowed("", url), "{url}");
        }
        for url in ["http://93.184.215.14/", "http://[2606:4700::1111]/", "http://[64:ff9b::5db8:d70e]/"] {
            assert!(allowed("", url), "{url}");
        }
    }

    #[test]
    fn networks_are_allowed_by_name() {
        assert!(allowed("192.168.1.0/24, fd00::/8", "http://192.168.1.7/"));
        assert!(allowed("192.168.1.0/24", "http://[::ffff:192.168.1.7]/"));
        assert!(allowed("fd00::/8", "http://[fd12::1]/"));
        assert!(allowed("10.1.2.3", "http://10.1.2.3/"));
        assert!(!allowed("192.168.1.0/24", "http://192.168.2.7/"));
        assert!("home".parse::<Networks>().unwrap_err().contains("“home”"));
    }

    #[tokio::test]
    async fn names_of_inner_networks_are_refused_where_they_are_resolved() {
        let client = guarded(Networks::default()).unwrap();
        let error = client.get("http://localhost:1/".parse().unwrap()).unwrap().send().await.unwrap_err();
        let mut source: &dyn Error = &error;
        while let Some(next) = source.source() {
            source = next;
        }
        assert!(source.to_string().contains("localhost is in a network"), "{error:?}");
    }
}
