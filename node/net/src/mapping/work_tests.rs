//! Against a router of a few lines, on an address of the loopback network of its own.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::mapping::Protocol;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;

const PACE: Pace = Pace {
    look_again: Duration::from_millis(20),
    lifetime_min_s: 0,
};
const LIMIT: Duration = Duration::from_secs(20);

struct Fake {
    socket: UdpSocket,
    last_from: Option<SocketAddr>,
    mappings: watch::Receiver<Mappings>,
    stop: Option<watch::Sender<()>>,
}

impl Fake {
    /// Each test has a router address of its own, as all routers have the same port.
    async fn start(last: u8, methods: &[MappedBy]) -> Fake {
        let gateway = Ipv4Addr::new(127, 0, 77, last);
        let socket = UdpSocket::bind((gateway, 5351)).await.unwrap();
        let requests = vec![MapRequest {
            port: 7462.try_into().unwrap(),
            protocol: Protocol::Tcp,
        }];
        let config = MapConfig {
            methods: methods.to_vec(),
            gateway: Some(gateway),
            pcp_nonce: None,
        };
        let (publish, mappings) = watch::channel(Mappings {
            stage: MapStage::Searching,
            ..Mappings::off()
        });
        let (stop, stopped) = watch::channel(());
        tokio::spawn(run(requests, config, PACE, publish, stopped));
        Fake {
            socket,
            last_from: None,
            mappings,
            stop: Some(stop),
        }
    }

    /// The next question. Each comes from a socket of its own, so another from the same one is only a copy.
    async fn question(&mut self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 1100];
        loop {
            let received = tokio::time::timeout(LIMIT, self.socket.recv_from(&mut buffer));
            let (len, from) = received.await.unwrap().unwrap();
            if self.last_from.replace(from) != Some(from) {
                return (buffer[..len].to_vec(), from);
            }
        }
    }

    async fn answer(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.unwrap();
    }

    /// Waits until the mappings are as wished.
    async fn until(&mut self, wished: impl FnMut(&Mappings) -> bool) -> Mappings {
        tokio::time::timeout(LIMIT, self.mappings.wait_for(wished))
            .await
            .unwrap()
            .unwrap()
            .clone()
    }
}

/// The answer to a PCP question, with a port and a lifetime.
fn pcp_answer(question: &[u8], port: u16, lifetime_s: u32) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[1] |= 0x80;
    bytes[4..8].copy_from_slice(&lifetime_s.to_be_bytes());
    bytes[8..24].fill(0);
    bytes[42..44].copy_from_slice(&port.to_be_bytes());
    bytes[44..60].copy_from_slice(&Ipv4Addr::new(203, 0, 113, 1).to_ipv6_mapped().octets());
    bytes
}

#[tokio::test]
async fn a_mapping_is_renewed_under_its_nonce_and_port_and_given_back() {
    let mut fake = Fake::start(1, &[MappedBy::Pcp]).await;
    let (first, from) = fake.question().await;
    assert_eq!(
        first[42..44],
        7462_u16.to_be_bytes(),
        "the port outside is the one inside if it may"
    );
    fake.answer(&pcp_answer(&first, 9999, 0), from).await;
    let mappings = fake.until(|mappings| !mappings.mapped.is_empty()).await;
    assert_eq!(
        mappings.mapped[0].external,
        "203.0.113.1:9999".parse().unwrap()
    );
    let (renewal, from) = fake.question().await;
    assert_eq!(renewal[24..36], first[24..36], "nonce");
    assert_eq!(renewal[42..44], 9999_u16.to_be_bytes());
    fake.answer(&pcp_answer(&renewal, 9999, 3600), from).await;
    fake.stop = None;
    let (end, from) = fake.question().await;
    assert_eq!(end[4..8], [0; 4], "lifetime");
    assert_eq!(end[24..36], first[24..36], "nonce");
    fake.answer(&pcp_answer(&end, 0, 0), from).await;
    fake.until(|mappings| mappings.stage == MapStage::Off).await;
}

#[tokio::test]
async fn a_router_without_pcp_is_asked_by_nat_pmp() {
    let mut fake = Fake::start(2, &[MappedBy::Pcp, MappedBy::NatPmp]).await;
    let (_, from) = fake.question().await;
    fake.answer(&[0, 0x81, 0, 1, 0, 0, 0, 0], from).await;
    let (address, from) = fake.question().await;
    assert_eq!(address, [0, 0]);
    fake.answer(&[0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9], from)
        .await;
    let (map, from) = fake.question().await;
    assert_eq!(map[..2], [0, 2], "TCP");
    fake.answer(
        &[
            0, 0x82, 0, 0, 0, 0, 0, 9, 0x1d, 0x26, 0x1d, 0x30, 0, 0, 7, 8,
        ],
        from,
    )
    .await;
    let mappings = fake
        .until(|mappings| mappings.stage == MapStage::Settled)
        .await;
    let expected = Mapping {
        protocol: Protocol::Tcp,
        local_port: 7462,
        external: "203.0.113.9:7472".parse().unwrap(),
        by: MappedBy::NatPmp,
    };
    assert_eq!(mappings.mapped, [expected]);
    fake.stop = None;
    let (end, from) = fake.question().await;
    assert_eq!(
        end,
        [0, 2, 0, 0, 0x1d, 0x26, 0, 0, 0, 0, 0, 0],
        "the TCP mapping and no other"
    );
    fake.answer(
        &[0, 0x82, 0, 0, 0, 0, 0, 9, 0x1d, 0x26, 0, 0, 0, 0, 0, 0],
        from,
    )
    .await;
    fake.until(|mappings| mappings.stage == MapStage::Off).await;
}

#[tokio::test]
async fn a_router_that_refuses_or_falls_silent_is_reported_and_asked_again() {
    let mut fake = Fake::start(3, &[MappedBy::Pcp]).await;
    let (question, from) = fake.question().await;
    let mut refusal = pcp_answer(&question, 0, 0);
    refusal[3] = 8;
    fake.answer(&refusal, from).await;
    let mappings = fake
        .until(|mappings| mappings.stage == MapStage::Settled)
        .await;
    assert!(
        matches!(
            &mappings.failed[..],
            [(
                _,
                MapError::Refused {
                    by: MappedBy::Pcp,
                    ..
                }
            )]
        ),
        "{mappings:?}"
    );
    let (again, from) = fake.question().await;
    fake.answer(&pcp_answer(&again, 7462, 0), from).await;
    fake.until(|mappings| mappings.mapped.len() == 1 && mappings.failed.is_empty())
        .await;
    // No more answers: the mapping ends with its lifetime.
    let mappings = fake.until(|mappings| mappings.mapped.is_empty()).await;
    assert!(
        matches!(&mappings.failed[..], [(_, MapError::NoAnswer)]),
        "{mappings:?}"
    );
}
