//! Port mapping against a real router program: miniupnpd of Debian, in network namespaces made here.
//!
//!     cargo test -p shoal-net --test miniupnpd -- --ignored --exact a_router_maps_ports_by_each_protocol
//!
//! `host` (192.168.77.2) and `router` share a network; `outside` is the rest of the world. Host and
//! outside are this program again, started in their namespaces.

#![allow(clippy::unwrap_used, missing_docs)]

use shoal_net::{
    Advertise, MapConfig, MapRequest, MapStage, MappedBy, Mappings, PortMapper, Protocol,
    ReachInput, local_addresses, reach,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const LAN_ROUTER: &str = "192.168.77.1";
const LAN_HOST: &str = "192.168.77.2";
/// miniupnpd refuses to map on a documentation address. This one belongs to a network that is not
/// announced on the internet, and nothing leaves the namespaces.
const WAN_ROUTER: &str = "11.22.33.1";
const WAN_OUTSIDE: &str = "11.22.33.2";
const PORT: u16 = 7462;
/// The router's rules do not allow this one.
const FORBIDDEN_PORT: u16 = 9;
const BY: &str = "SHOAL_NET_TEST_BY";
const PORTS: &str = "SHOAL_NET_TEST_PORTS";
const TARGET: &str = "SHOAL_NET_TEST_TARGET";
const LIMIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "needs root and miniupnpd: it makes network namespaces"]
fn a_router_maps_ports_by_each_protocol() {
    let Some(net) = Net::make() else { return };
    let router = Router::start(&net);
    for by in ["PCP", "NAT-PMP", "UPnP"] {
        for end in ["shutdown", "drop"] {
            let mut host = Host::start(&net, by, PORT);
            assert_eq!(host.line("reach"), "internet");
            for protocol in ["TCP", "UDP"] {
                let mapped = host.line("mapped");
                assert_eq!(
                    mapped,
                    format!("{protocol} {PORT} {WAN_ROUTER}:{PORT} {by}")
                );
            }
            assert_eq!(net.forwarded(), 2, "{by}: {}", net.rules());
            net.check_from_outside();
            host.say(end);
            host.line("released");
            assert_eq!(net.forwarded(), 0, "{by} {end}: {}", net.rules());
        }
        let host = Host::start(&net, by, PORT);
        host.wait_until_mapped_and_kill();
        assert_eq!(net.forwarded(), 2, "a killed node leaves its mappings");
        let mut host = Host::start(&net, by, PORT);
        assert_eq!(
            host.line("mapped"),
            format!("TCP {PORT} {WAN_ROUTER}:{PORT} {by}"),
            "it gets them again"
        );
        host.say("shutdown");
        host.line("released");
        assert_eq!(net.forwarded(), 0, "{by} after kill: {}", net.rules());
    }
    // By UPnP, because asked by PCP for a denied port this miniupnpd is silent for longer than one waits.
    let mut host = Host::start(&net, "UPnP", FORBIDDEN_PORT);
    let failed = host.line("failed");
    assert!(
        failed.starts_with("the router refused to map TCP port 9 (UPnP: "),
        "{failed}"
    );
    host.say("shutdown");
    drop(router);
    let mut host = Host::start(&net, "PCP NAT-PMP UPnP", PORT);
    assert_eq!(host.line("reach"), "network");
    assert_eq!(
        host.line("failed"),
        "the router answered neither PCP, NAT-PMP nor UPnP"
    );
    host.say("shutdown");
}

/// Not a test of its own: what runs on the host behind the router.
#[tokio::test]
#[ignore = "started by a_router_maps_ports_by_each_protocol"]
async fn host() {
    let Ok(by) = std::env::var(BY) else { return };
    let port: u16 = std::env::var(PORTS).unwrap().parse().unwrap();
    let tcp = tokio::net::TcpListener::bind(("0.0.0.0", port))
        .await
        .unwrap();
    let udp = tokio::net::UdpSocket::bind(("0.0.0.0", port))
        .await
        .unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            stream.write_all(b"shoal").await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 16];
        while let Ok((len, from)) = udp.recv_from(&mut buffer).await {
            udp.send_to(&buffer[..len], from).await.unwrap();
        }
    });
    let methods = by.split(' ').map(|by| match by {
        "PCP" => MappedBy::Pcp,
        "NAT-PMP" => MappedBy::NatPmp,
        _ => MappedBy::Upnp,
    });
    let config = MapConfig {
        methods: methods.collect(),
        pcp_nonce: Some([3; 12]),
        gateway: None,
    };
    let requests = [Protocol::Tcp, Protocol::Udp].map(|protocol| MapRequest {
        port: port.try_into().unwrap(),
        protocol,
    });
    let mapper = PortMapper::start(&requests, config);
    let mut mappings = mapper.mappings();
    let settled = mappings.wait_for(|mappings| mappings.stage == MapStage::Settled);
    let settled = tokio::time::timeout(LIMIT, settled)
        .await
        .unwrap()
        .unwrap()
        .clone();
    report(&settled, port);
    let end = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        line
    });
    match end.await.unwrap().trim() {
        "drop" => drop(mapper),
        _ => mapper.shutdown().await,
    }
    let off = mappings.wait_for(|mappings| mappings.stage == MapStage::Off);
    tokio::time::timeout(LIMIT, off).await.unwrap().unwrap();
    println!("\nreleased");
}

fn report(mappings: &Mappings, port: u16) {
    let local = local_addresses().unwrap();
    let listen = [SocketAddr::from(([0, 0, 0, 0], port))];
    let input = ReachInput {
        listen: &listen,
        local: &local,
        mappings,
        advertise: &Advertise::Auto,
    };
    println!("\nreach {}", reach(&input).reach.as_str());
    for mapping in &mappings.mapped {
        println!(
            "mapped {} {} {} {}",
            mapping.protocol, mapping.local_port, mapping.external, mapping.by
        );
    }
    for (_, error) in &mappings.failed {
        println!("failed {error}");
    }
}

/// Not a test of its own: a machine on the other side of the router.
#[test]
#[ignore = "started by a_router_maps_ports_by_each_protocol"]
fn outside() {
    let Ok(target) = std::env::var(TARGET) else {
        return;
    };
    let target: SocketAddr = target.parse().unwrap();
    let mut answer = String::new();
    let mut stream = TcpStream::connect_timeout(&target, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "shoal");
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.connect(target).unwrap();
    socket.send(b"over UDP").unwrap();
    let mut buffer = [0; 16];
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"over UDP");
}

/// Three namespaces in a row; they go when this is dropped.
struct Net {
    names: [String; 3],
}

impl Net {
    fn make() -> Option<Net> {
        for (program, package) in [
            ("miniupnpd", "miniupnpd"),
            ("nft", "nftables"),
            ("ip", "iproute2"),
        ] {
            let found = Command::new(program)
                .arg("--help")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(
                found.is_ok(),
                "{program} is not installed: apt-get install {package}"
            );
        }
        let id = std::process::id();
        let net = Net {
            names: ["h", "r", "o"].map(|name| format!("shoal{id}{name}")),
        };
        let probe = Command::new("ip")
            .args(["netns", "add", &net.names[0]])
            .output()
            .unwrap();
        if !probe.status.success() {
            println!(
                "NOT RUN: cannot make network namespaces: {}",
                String::from_utf8_lossy(&probe.stderr).trim()
            );
            return None;
        }
        let [h, r, o] = &net.names;
        ip(&format!("netns add {r}"));
        ip(&format!("netns add {o}"));
        ip(&format!(
            "-n {h} link add up0 type veth peer name lan netns {r}"
        ));
        ip(&format!(
            "-n {o} link add up0 type veth peer name wan netns {r}"
        ));
        for (ns, link, address) in [
            (h, "up0", LAN_HOST),
            (r, "lan", LAN_ROUTER),
            (r, "wan", WAN_ROUTER),
            (o, "up0", WAN_OUTSIDE),
        ] {
            ip(&format!("-n {ns} addr add {address}/24 dev {link}"));
            ip(&format!("-n {ns} link set {link} up"));
            ip(&format!("-n {ns} link set lo up"));
        }
        ip(&format!("-n {h} route add default via {LAN_ROUTER}"));
        let forward = net
            .within(r, "sysctl")
            .args(["-q", "-w", "net.ipv4.ip_forward=1"])
            .status();
        assert!(forward.unwrap().success());
        net.load_rules();
        Some(net)
    }

    /// The chains that miniupnpd fills, as Debian's nft_init.sh makes them.
    fn load_rules(&self) {
        let mut nft = self
            .within(&self.names[1], "nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let rules = "table inet filter {
            chain forward { type filter hook forward priority 0; policy drop;
                ct state established,related accept; jump miniupnpd; }
            chain miniupnpd { }
            chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
            chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
            chain prerouting_miniupnpd { }
            chain postrouting_miniupnpd { }
        }";
        nft.stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success());
    }

    fn rules(&self) -> String {
        let output = self
            .within(&self.names[1], "nft")
            .args(["list", "ruleset"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ports that the router passes on to the host.
    fn forwarded(&self) -> usize {
        self.rules()
            .matches(&format!("to {LAN_HOST}:{PORT}"))
            .count()
    }

    fn check_from_outside(&self) {
        let mut outside = self.within(
            &self.names[2],
            std::env::current_exe().unwrap().to_str().unwrap(),
        );
        outside
            .args(["--exact", "outside", "--ignored"])
            .env(TARGET, format!("{WAN_ROUTER}:{PORT}"));
        let output = outside.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }

    fn within(&self, ns: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", ns, program]);
        command
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip")
                .args(["netns", "del", name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// miniupnpd in the router's namespace.
struct Router {
    child: Child,
    dir: std::path::PathBuf,
}

impl Router {
    fn start(net: &Net) -> Router {
        let dir = std::env::temp_dir().join(&net.names[1]);
        std::fs::create_dir_all(&dir).unwrap();
        let config = "ext_ifname=wan\nlistening_ip=lan\nenable_natpmp=yes\nenable_upnp=yes\nsecure_mode=yes\n\
             uuid=5cf2ef56-f9d2-4cdd-b4cd-c39f69803384\n\
             allow 1024-65535 192.168.77.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n";
        let path = dir.join("miniupnpd.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = net.within(&net.names[1], "miniupnpd");
        command
            .arg("-d")
            .arg("-f")
            .arg(&path)
            .arg("-P")
            .arg(dir.join("pid"));
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let listens = log.by_ref().map_while(Result::ok).any(|line| {
            said += &format!("{line}\n");
            line.contains("Listening for NAT-PMP/PCP traffic")
        });
        assert!(listens, "miniupnpd ended: {said}");
        // A full pipe would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Router { child, dir }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// This program in the host's namespace.
struct Host {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Host {
    fn start(net: &Net, by: &str, port: u16) -> Host {
        let mut command = net.within(
            &net.names[0],
            std::env::current_exe().unwrap().to_str().unwrap(),
        );
        command
            .args(["--exact", "host", "--ignored", "--nocapture"])
            .env(BY, by)
            .env(PORTS, port.to_string());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Host {
            child,
            stdin,
            lines,
        }
    }

    /// What the next line that begins with `word` says.
    fn line(&mut self, word: &str) -> String {
        let found = self
            .lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix(word)?.trim().to_owned()));
        found.unwrap_or_else(|| panic!("the host ended without saying {word}"))
    }

    fn say(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").unwrap();
    }

    fn wait_until_mapped_and_kill(mut self) {
        self.line("mapped");
        self.line("mapped");
        self.child.kill().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
