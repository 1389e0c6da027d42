//! https on the node's port: with a certificate of its own, that of tomorrow, and wrong ones.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shoal_tests::{Attributes, Deadline, Home, Random, Share, Tree, assert_same_tree, http, needs};

/// An authority, and a certificate of it for loopback.
struct Authority {
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Authority {
        let folder = folder.join("authority");
        fs::create_dir(&folder).unwrap();
        let authority = Authority { folder };
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE");
        authority
    }

    fn openssl(&self, args: &str) {
        let output = Command::new(needs("openssl").unwrap())
            .current_dir(&self.folder)
            .args(args.split_whitespace())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// `<name>.pem` and `<name>.key`, with a serial number by which it is recognised.
    fn issue(&self, name: &str, serial: &str) {
        let (key, request, certificate) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout {key} -out {request}"));
        fs::write(
            self.folder.join("ext"),
            "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
        )
        .unwrap();
        self.openssl(&format!("x509 -req -in {request} -CA ca.pem -CAkey ca.key -set_serial {serial} -days 2 -extfile ext -out {certificate}"));
    }

    fn curl(&self, args: &[&str]) -> Output {
        Command::new(needs("curl").unwrap())
            .args(["-sS", "--max-time", "20", "--cacert", &self.path("ca.pem")])
            .args(args)
            .output()
            .unwrap()
    }

    /// The serial number of the certificate that is presented at an address.
    fn serial(&self, address: &str) -> String {
        let script = format!(
            "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -serial"
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

struct Encrypted {
    home: Home,
    tree: Tree,
    share: Share,
    authority: Authority,
}

fn encrypted(test: &str, extra: &[&str]) -> Encrypted {
    let mut random = Random::from_env(test);
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "over tls", &mut random).unwrap();
    let authority = Authority::new(home.beside());
    authority.issue("a", "0x0a");
    let (certificate, key) = (authority.path("a.pem"), authority.path("a.key"));
    let mut options = vec!["--tls-cert", &certificate, "--tls-key", &key];
    options.extend(extra);
    let mut share = home.share(tree.path(), &options).unwrap();
    share.ready(Deadline::secs(20)).unwrap();
    Encrypted {
        home,
        tree,
        share,
        authority,
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn one_port_speaks_https_http_and_bittorrent() {
    let it = encrypted("one_port_speaks_https_http_and_bittorrent", &[]);
    let url = &it.share.url;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let page = it.authority.curl(&["-H", "Accept: application/json", url]);
    assert!(text(&page).contains("\"over tls\""), "{page:?}");
    let file = it
        .authority
        .curl(&["-r", "10-99", &format!("{url}/f/readme.txt")]);
    assert_eq!(
        file.stdout,
        fs::read(it.tree.path().join("readme.txt")).unwrap()[10..100]
    );

    // A browser that came without encryption is sent on; a program is answered.
    let plain = url.replacen("https", "http", 1);
    let browser = http::with_headers(&plain, &[("Accept", "text/html")]).unwrap();
    assert_eq!(
        (browser.status, browser.header("location")),
        (307, Some(url.as_str()))
    );
    assert_eq!(
        http::get(&format!("{plain}/capability")).unwrap().status,
        200
    );

    // Who does not know the authority gets nothing over https; who names it, everything.
    let into = it.home.beside().join("into");
    let distrusts = it.home.get(url, &into, &["--via", "http"]).unwrap();
    assert_ne!(distrusts.code, Some(0), "{distrusts:#?}");
    let trusts = ["--via", "http", "--cacert", &it.authority.path("ca.pem")];
    it.home.get(url, &into, &trusts).unwrap().success().unwrap();
    assert_same_tree(it.tree.path(), &into.join("over tls"), Attributes::All);
    let torrent = it.home.json(&["shares"]).unwrap()["magnet"]
        .as_str()
        .unwrap()
        .to_owned();
    let into = it.home.beside().join("by torrent");
    it.home
        .get(&torrent, &into, &["--via", "torrent"])
        .unwrap()
        .success()
        .unwrap();
}

#[test]
fn a_renewed_certificate_is_used_at_once() {
    let it = encrypted("a_renewed_certificate_is_used_at_once", &[]);
    let address = it
        .share
        .url
        .strip_prefix("https://")
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(it.authority.serial(&address), "serial=0A");
    // Half of a renewal, and rubbish: the old one stays.
    it.authority.issue("b", "0x0b");
    fs::copy(it.authority.path("b.key"), it.authority.path("a.key")).unwrap();
    assert_eq!(it.authority.serial(&address), "serial=0A");
    fs::write(it.authority.path("a.pem"), "not a certificate").unwrap();
    assert_eq!(it.authority.serial(&address), "serial=0A");
    // As tools that renew do it: another file takes the name.
    fs::rename(it.authority.path("b.pem"), it.authority.path("a.pem")).unwrap();
    assert_eq!(it.authority.serial(&address), "serial=0B");
}

#[test]
fn wrong_files_are_said_and_nothing_starts() {
    let home = Home::new().unwrap();
    let authority = Authority::new(home.beside());
    authority.issue("a", "1");
    authority.issue("b", "2");
    let (empty, here) = (
        authority.path("empty"),
        home.beside().to_str().unwrap().to_owned(),
    );
    fs::write(&empty, "").unwrap();
    for (certificate, key, says) in [
        (
            authority.path("a.pem"),
            authority.path("b.key"),
            "not the key of",
        ),
        (
            authority.path("a.key"),
            authority.path("a.pem"),
            "no certificate",
        ),
        (empty.clone(), authority.path("a.key"), "no certificate"),
        (authority.path("a.pem"), empty.clone(), "PEM"),
        (
            authority.path("none"),
            authority.path("a.key"),
            "No such file",
        ),
    ] {
        let args = [
            "share",
            &here,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        let outcome = home.run(&args).unwrap();
        assert!(
            outcome.stderr.contains(says) && outcome.stderr.contains("next:"),
            "{says}: {outcome:#?}"
        );
        outcome.refused(2);
        let up = [
            "up",
            "--detach",
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        home.run(&up).unwrap().refused(2);
    }
    home.run(&["share", &here, "--tls-cert", &empty])
        .unwrap()
        .refused(2);
    home.settings(&[("tls-cert", "\"/a\"")]).unwrap();
    home.run(&["share", &here]).unwrap().refused(2);
}

/// By settings, in the background, with a password: the cookie is for https alone.
#[test]
fn settings_and_a_password() {
    let mut random = Random::from_env("settings_and_a_password");
    let home = Home::new().unwrap();
    let tree = Tree::mixed(home.beside(), "both", &mut random).unwrap();
    let authority = Authority::new(home.beside());
    authority.issue("a", "1");
    for (name, file) in [("tls-cert", "a.pem"), ("tls-key", "a.key")] {
        home.run(&["config", "set", name, &authority.path(file)])
            .unwrap()
            .success()
            .unwrap();
    }
    let password = authority.path("password");
    fs::write(&password, "x y\n").unwrap();
    let share = home
        .share(tree.path(), &["--password-file", &password])
        .unwrap();
    let unlock = format!("{}/unlock", share.url);
    let output = authority.curl(&[
        "-i",
        "-H",
        "Accept: text/html",
        "--data-urlencode",
        "password=x y",
        &unlock,
    ]);
    let answer = text(&output);
    assert!(
        answer.contains("303") && answer.contains("; Secure"),
        "{answer}"
    );
    let options = [
        "--password-file",
        &password,
        "--cacert",
        &authority.path("ca.pem"),
        "--via",
        "http",
    ];
    home.get(&share.url, &home.beside().join("got"), &options)
        .unwrap()
        .success()
        .unwrap();
}
