//! Who can open a link, as far as this machine can tell, and what would let more people open it.
//! Nothing here looks at the network: it judges what others found.

use crate::address::IfaceAddr;
use crate::mapping::{MapError, MapStage, Mappings, Protocol};
use crate::scope::{Scope, scope};
use std::net::{IpAddr, SocketAddr};

/// Who can open a link, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Programs on this machine.
    Machine,
    /// Machines on this network.
    Network,
    /// Anybody.
    Internet,
}

impl Reach {
    /// One word, as in JSON output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Reach::Machine => "machine",
            Reach::Network => "network",
            Reach::Internet => "internet",
        }
    }
}

/// The address that links shall name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertise {
    /// The best that is found.
    Auto,
    /// A host name or address, with the port if it is not the one listened on.
    Host(String),
}

/// What is known.
#[derive(Debug, Clone)]
pub struct ReachInput<'a> {
    /// Addresses listened on, ports filled in.
    pub listen: &'a [SocketAddr],
    /// Addresses of this machine, best first; see `local_addresses`.
    pub local: &'a [IfaceAddr],
    /// What the router maps.
    pub mappings: &'a Mappings,
    /// What the owner says.
    pub advertise: &'a Advertise,
}

/// Who can open a link, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachReport {
    /// Who can open it, as far as can be told from here.
    pub reach: Reach,
    /// A sentence that says on what this depends, or what would help; none if nothing is left to say.
    pub help: Option<String>,
    /// TCP addresses for links, best first; empty if the owner named a host.
    pub addresses: Vec<SocketAddr>,
}

/// Judges who can open a link.
pub fn reach(input: &ReachInput<'_>) -> ReachReport {
    let mut report = judge(input);
    if let Advertise::Host(host) = input.advertise {
        report.addresses.clear();
        (report.reach, report.help) = advertised(host);
    }
    report
}

fn judge(input: &ReachInput<'_>) -> ReachReport {
    let port = input.listen.first().map_or(0, SocketAddr::port);
    let bound = bound_addresses(input);
    let outward: Vec<SocketAddr> = bound
        .iter()
        .copied()
        .filter(|a| scope(a.ip()) > Scope::Loopback)
        .collect();
    if outward.is_empty() {
        return ReachReport {
            reach: Reach::Machine,
            help: Some(help_for_machine(input, port)),
            addresses: bound,
        };
    }
    let mapped: Vec<SocketAddr> = input
        .mappings
        .mapped
        .iter()
        .filter(|m| {
            m.protocol == Protocol::Tcp
                && outward
                    .iter()
                    .any(|a| a.is_ipv4() && a.port() == m.local_port)
        })
        .map(|m| SocketAddr::V4(m.external))
        .collect();
    let (reach, help) = if mapped.iter().any(|a| scope(a.ip()) == Scope::Public) {
        (Reach::Internet, None)
    } else if let Some(address) = public_without_router(&outward) {
        let which = if address.is_ipv6() {
            " for those who have IPv6"
        } else {
            ""
        };
        (
            Reach::Internet,
            Some(format!(
                "this holds{which} if no firewall blocks TCP port {}",
                address.port()
            )),
        )
    } else {
        (
            Reach::Network,
            Some(help_for_network(input, &outward, &mapped)),
        )
    };
    let mut addresses: Vec<SocketAddr> = mapped
        .into_iter()
        .filter(|a| scope(a.ip()) == Scope::Public)
        .chain(outward)
        .collect();
    // The sort is stable: what the internet reaches first, the rest as it was.
    addresses.sort_by_key(|a| {
        scope(a.ip()) != Scope::Public || (a.is_ipv6() && reach != Reach::Internet)
    });
    addresses.dedup();
    ReachReport {
        reach,
        help,
        addresses,
    }
}

/// Addresses listened on, with `0.0.0.0` and `[::]` replaced by what they stand for. `[::]` takes
/// IPv4 as well, as on Linux by default.
fn bound_addresses(input: &ReachInput<'_>) -> Vec<SocketAddr> {
    let mut bound = Vec::new();
    for listen in input.listen {
        if listen.ip().is_unspecified() {
            let local = input.local.iter().map(|address| address.ip);
            let fitting = local.filter(|ip| listen.is_ipv6() || ip.is_ipv4());
            bound.extend(fitting.map(|ip| SocketAddr::new(ip, listen.port())));
        } else {
            bound.push(SocketAddr::new(listen.ip().to_canonical(), listen.port()));
        }
    }
    let mut seen = std::collections::HashSet::new();
    bound.retain(|address| seen.insert(*address));
    bound
}

/// A public address of this machine that no home router is likely to guard: an IPv4 one, or an IPv6
/// one beside no private IPv4. Where IPv4 is private there is a router, and most refuse what comes in
/// over IPv6.
fn public_without_router(outward: &[SocketAddr]) -> Option<&SocketAddr> {
    let public = |a: &&SocketAddr| scope(a.ip()) == Scope::Public;
    let v4 = outward.iter().filter(|a| a.is_ipv4()).find(public);
    let behind_router = outward
        .iter()
        .any(|a| a.is_ipv4() && scope(a.ip()) != Scope::Link);
    v4.or_else(|| outward.iter().find(public).filter(|_| !behind_router))
}

fn help_for_machine(input: &ReachInput<'_>, port: u16) -> String {
    if input.local.is_empty() {
        "This machine has no network: connect it".to_owned()
    } else {
        format!("To let others open it, start with --listen 0.0.0.0:{port}")
    }
}

fn help_for_network(
    input: &ReachInput<'_>,
    outward: &[SocketAddr],
    mapped: &[SocketAddr],
) -> String {
    let target = outward.iter().find(|a| a.is_ipv4()).or(outward.first());
    let forward = target.map_or_else(String::new, |a| {
        format!(
            "forward TCP port {} to {} in the router, then use --advertise with its address",
            a.port(),
            a.ip()
        )
    });
    let shared = outward.iter().any(|a| scope(a.ip()) == Scope::Shared);
    if let Some(external) = mapped.first() {
        let owner = match scope(external.ip()) {
            Scope::Shared => "your provider shares one address among its customers",
            _ => "there is a second router before the internet",
        };
        return format!(
            "the router mapped the port, but its own address {} is not on the internet ({owner}): \
             ask the provider for an address of your own, or share from a machine that has one",
            external.ip()
        );
    }
    if shared {
        return "your provider shares one address among its customers: ask it for an address of your own, \
                or share from a machine that has one"
            .to_owned();
    }
    let asked = input
        .mappings
        .failed
        .iter()
        .find(|(request, _)| request.protocol == Protocol::Tcp);
    let why = match (input.mappings.stage, asked.map(|(_, error)| error)) {
        (MapStage::Off, _) => "port mapping is off".to_owned(),
        (MapStage::Searching, _) => return "the router is being asked to map the port".to_owned(),
        (MapStage::Settled, Some(error @ MapError::NoGateway)) => {
            return format!("{error}: connect it to the internet to let others open it");
        }
        (MapStage::Settled, Some(error)) => error.to_string(),
        (MapStage::Settled, None) => "the router maps no port to this address".to_owned(),
    };
    format!("{why}: {forward}")
}

fn advertised(host: &str) -> (Reach, Option<String>) {
    let text = host.trim();
    let ip = text
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| {
            text.trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
        });
    let scope = match ip {
        Ok(ip) => scope(ip),
        Err(_) if text.split(':').next() == Some("localhost") => Scope::Loopback,
        Err(_) => Scope::Public,
    };
    match scope {
        Scope::None | Scope::Loopback => (
            Reach::Machine,
            Some(format!(
                "--advertise names {text}, which only this machine can open"
            )),
        ),
        Scope::Link | Scope::Private | Scope::Shared => (
            Reach::Network,
            Some(format!(
                "--advertise names {text}, which only this network can open"
            )),
        ),
        Scope::Public => (
            Reach::Internet,
            Some(format!("This holds if {text} leads here")),
        ),
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
