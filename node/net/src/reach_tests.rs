#![allow(clippy::unwrap_used)]
use super::*;
use crate::address::Route;
use crate::mapping::{MapRequest, MappedBy, Mapping};

struct Case {
    name: &'static str,
    listen: &'static [&'static str],
    local: &'static [&'static str],
    external: Option<&'static str>,
    stage: MapStage,
    failed: Option<MapError>,
    reach: Reach,
    help: Option<&'static str>,
    first: Option<&'static str>,
}

const HOME: &[&str] = &["192.168.1.5"];
const ANY: &[&str] = &["0.0.0.0:7462"];

impl Case {
    const fn home(name: &'static str) -> Self {
        Case {
            name,
            listen: ANY,
            local: HOME,
            external: None,
            stage: MapStage::Settled,
            failed: None,
            reach: Reach::Network,
            help: None,
            first: Some("192.168.1.5:7462"),
        }
    }

    fn check(self) {
        let listen: Vec<_> = self.listen.iter().map(|a| a.parse().unwrap()).collect();
        let local: Vec<_> = self
            .local
            .iter()
            .map(|ip| IfaceAddr {
                interface: "eth0".to_owned(),
                ip: ip.parse().unwrap(),
                route: Route::Default,
            })
            .collect();
        let mapped = self.external.map(|external| Mapping {
            protocol: Protocol::Tcp,
            local_port: 7462,
            external: external.parse().unwrap(),
            by: MappedBy::Pcp,
        });
        let request = MapRequest {
            port: 7462.try_into().unwrap(),
            protocol: Protocol::Tcp,
        };
        let mappings = Mappings {
            stage: self.stage,
            mapped: mapped.into_iter().collect(),
            failed: self
                .failed
                .into_iter()
                .map(|error| (request, error))
                .collect(),
        };
        let input = ReachInput {
            listen: &listen,
            local: &local,
            mappings: &mappings,
            advertise: &Advertise::Auto,
        };
        let report = reach(&input);
        let name = self.name;
        assert_eq!(report.reach, self.reach, "{name}: {report:?}");
        match (self.help, &report.help) {
            (None, None) => {}
            (Some(part), Some(help)) => assert!(help.contains(part), "{name}: {help}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(
            report.addresses.first().map(ToString::to_string).as_deref(),
            self.first,
            "{name}"
        );
    }
}

#[test]
fn machine() {
    let cases = [
        Case {
            listen: &["127.0.0.1:7462", "[::1]:7462"],
            help: Some("start with --listen 0.0.0.0:7462"),
            first: Some("127.0.0.1:7462"),
            ..Case::home("loopback only, even with a mapping")
        },
        Case {
            local: &[],
            help: Some("has no network"),
            first: None,
            ..Case::home("no network")
        },
    ];
    for case in cases {
        Case {
            reach: Reach::Machine,
            external: Some("203.0.113.1:7462"),
            ..case
        }
        .check();
    }
}

#[test]
fn network() {
    let cases = [
        Case {
            failed: Some(MapError::NoAnswer),
            help: Some(
                "answered neither PCP, NAT-PMP nor UPnP: forward TCP port 7462 to 192.168.1.5",
            ),
            ..Case::home("no answer")
        },
        Case {
            stage: MapStage::Off,
            help: Some("port mapping is off: forward TCP port 7462"),
            ..Case::home("off")
        },
        Case {
            stage: MapStage::Searching,
            help: Some("is being asked"),
            ..Case::home("searching")
        },
        Case {
            failed: Some(MapError::NoGateway),
            help: Some("connect it to the internet"),
            ..Case::home("no router")
        },
        Case {
            external: Some("100.64.3.4:7462"),
            help: Some("shares one address among its customers"),
            ..Case::home("carrier NAT")
        },
        Case {
            external: Some("192.168.0.9:7462"),
            help: Some("second router"),
            ..Case::home("two routers")
        },
        Case {
            local: &["100.64.3.4"],
            help: Some("shares one address"),
            first: Some("100.64.3.4:7462"),
            ..Case::home("carrier address here")
        },
        Case {
            listen: &["[::]:7462"],
            local: &["192.168.1.5", "2001:db8::5"],
            failed: Some(MapError::NoAnswer),
            help: Some("to 192.168.1.5"),
            ..Case::home("IPv6 behind a home router")
        },
        Case {
            listen: &["0.0.0.0:8000"],
            help: Some("maps no port to this address"),
            external: Some("203.0.113.1:7462"),
            first: Some("192.168.1.5:8000"),
            ..Case::home("another port is mapped")
        },
    ];
    for case in cases {
        case.check();
    }
}

#[test]
fn internet() {
    let cases = [
        Case {
            external: Some("203.0.113.1:7470"),
            first: Some("203.0.113.1:7470"),
            ..Case::home("mapped")
        },
        Case {
            local: &["203.0.113.8"],
            help: Some("if no firewall blocks TCP port 7462"),
            first: Some("203.0.113.8:7462"),
            ..Case::home("public address")
        },
        Case {
            local: &["10.0.0.1", "203.0.113.8"],
            help: Some("firewall"),
            first: Some("203.0.113.8:7462"),
            ..Case::home("server with two networks")
        },
        Case {
            listen: &["[::]:7462"],
            local: &["2001:db8::5"],
            help: Some("for those who have IPv6"),
            first: Some("[2001:db8::5]:7462"),
            ..Case::home("IPv6 only")
        },
        Case {
            listen: &["203.0.113.8:7462"],
            help: Some("firewall"),
            first: Some("203.0.113.8:7462"),
            ..Case::home("bound to one address")
        },
    ];
    for case in cases {
        Case {
            reach: Reach::Internet,
            ..case
        }
        .check();
    }
}

#[test]
fn what_the_owner_advertises_is_believed_and_judged() {
    let mappings = Mappings::off();
    let listen = ["127.0.0.1:7462".parse().unwrap()];
    let table = [
        ("files.example.org", Reach::Internet),
        ("files.example.org:80", Reach::Internet),
        ("203.0.113.7:7462", Reach::Internet),
        ("[2001:db8::1]:7462", Reach::Internet),
        ("[2001:db8::1]", Reach::Internet),
        ("192.168.1.1", Reach::Network),
        ("100.64.0.1:1", Reach::Network),
        ("localhost:7462", Reach::Machine),
        ("[::1]:7462", Reach::Machine),
    ];
    for (host, expected) in table {
        let advertise = Advertise::Host(host.to_owned());
        let report = reach(&ReachInput {
            listen: &listen,
            local: &[],
            mappings: &mappings,
            advertise: &advertise,
        });
        assert_eq!(report.reach, expected, "{host}");
        assert!(report.help.unwrap().contains(host));
        assert!(report.addresses.is_empty());
    }
}
