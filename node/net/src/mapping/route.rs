//! Which router is asked, and from which address.

use crate::address::source_towards;
use std::net::{IpAddr, Ipv4Addr};

/// This machine's address and its router's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    /// The address from which packets to the router leave.
    pub(super) local: Ipv4Addr,
    /// The router.
    pub(super) gateway: Ipv4Addr,
}

impl Path {
    /// Finds the router of the default route, or takes the one that was set.
    pub(super) async fn find(set: Option<Ipv4Addr>) -> Option<Path> {
        let gateway = match set {
            Some(gateway) => gateway,
            // It reads the routing table, which blocks.
            None => tokio::task::spawn_blocking(default_gateway)
                .await
                .ok()
                .flatten()?,
        };
        match source_towards(IpAddr::V4(gateway))? {
            IpAddr::V4(local) if !local.is_unspecified() => Some(Path { local, gateway }),
            _ => None,
        }
    }
}

fn default_gateway() -> Option<Ipv4Addr> {
    match netwatch::interfaces::HomeRouter::new()?.gateway {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}
