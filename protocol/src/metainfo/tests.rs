#![allow(clippy::unwrap_used)]

use super::*;
use crate::bencode::{BencodeError, Value};
use crate::path::PathError;
use proptest::prelude::*;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn builder<'a>(name: &'a str, pieces: &'a [u8]) -> InfoBuilder<'a> {
    InfoBuilder {
        name,
        piece_length_bytes: 16 << 10,
        pieces,
        salt: [7; 16],
        privacy: Privacy::Public,
    }
}

fn file(path: &RelPath, size_bytes: u64) -> InfoEntry<'_> {
    InfoEntry::File {
        path,
        size_bytes,
        executable: false,
    }
}

#[test]
fn a_single_file_has_these_bytes() {
    let info = builder("a.txt", &[b'h'; 20]).single_file(5, false).unwrap();
    let expected =
        b"d6:lengthi5e4:name5:a.txt12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhh4:salt16:\
        \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07e";
    assert_eq!(info.as_bytes(), expected);
    // sha1sum of the bytes above.
    assert_eq!(
        info.infohash().to_hex(),
        "e4c54c3ae3423b7855bb76a38052a09fb3fa5570"
    );
    let private = InfoBuilder {
        privacy: Privacy::Private,
        ..builder("run", &[])
    }
    .single_file(0, true)
    .unwrap();
    let decoded = private.decode().unwrap();
    assert_eq!(
        (decoded.privacy, decoded.layout),
        (Privacy::Private, Layout::SingleFile)
    );
    assert_eq!(decoded.files[0].kind, FileKind::Executable);
    assert!(Value::parse_canonical(private.as_bytes()).is_ok());
}

#[test]
fn a_folder_keeps_order_attributes_and_links() {
    let paths = ["a", "bin/run", "bin/so", "bin/up", "z"].map(path);
    let info = builder("dir", &[1; 40])
        .folder([
            file(&paths[0], 16 << 10),
            InfoEntry::File {
                path: &paths[1],
                size_bytes: 1,
                executable: true,
            },
            InfoEntry::Symlink {
                path: &paths[2],
                target: "../a",
            },
            InfoEntry::Symlink {
                path: &paths[3],
                target: "..",
            },
            file(&paths[4], 0),
        ])
        .unwrap();
    assert!(Value::parse_canonical(info.as_bytes()).is_ok());
    let written = b"d4:attr1:l6:lengthi0e4:pathl3:bin2:soe12:symlink pathl1:aee";
    assert!(
        info.as_bytes()
            .windows(written.len())
            .any(|window| window == written)
    );
    let decoded = info.decode().unwrap();
    let kinds: Vec<_> = decoded.files.iter().map(|f| f.kind.clone()).collect();
    use FileKind::*;
    assert_eq!(
        kinds,
        [
            Plain,
            Executable,
            Symlink(Some(path("a"))),
            Symlink(None),
            Plain
        ]
    );
    assert_eq!(
        decoded
            .files
            .iter()
            .map(|f| f.path.clone())
            .collect::<Vec<_>>(),
        paths
    );
    assert_eq!(decoded.total_bytes, (16 << 10) + 1);
    assert_eq!(
        (
            decoded.piece_count(),
            decoded.piece_size(0),
            decoded.piece_size(1)
        ),
        (2, 16 << 10, 1)
    );
    assert_eq!(
        (
            decoded.piece_size(2),
            decoded.piece_hash(1),
            decoded.piece_hash(2)
        ),
        (0, Some(&[1; 20]), None)
    );
}

#[test]
fn each_salt_has_its_own_infohash() {
    let one = builder("a", &[]).single_file(0, false).unwrap();
    let same = builder("a", &[]).single_file(0, false).unwrap();
    let other = InfoBuilder {
        salt: [8; 16],
        ..builder("a", &[])
    }
    .single_file(0, false)
    .unwrap();
    assert_eq!(one, same);
    assert_ne!(one.infohash(), other.infohash());
}

#[test]
fn the_builder_refuses_mistakes() {
    let (a, ab, b) = (path("a"), path("a/b"), path("b"));
    let order = |entries: [InfoEntry<'_>; 2]| builder("d", &[]).folder(entries);
    assert_eq!(
        order([file(&b, 0), file(&a, 0)]),
        Err(BuildError::Order { index: 1 })
    );
    assert_eq!(
        order([file(&a, 0), file(&a, 0)]),
        Err(BuildError::Order { index: 1 })
    );
    assert_eq!(
        order([file(&a, 0), file(&ab, 0)]),
        Err(BuildError::Order { index: 1 })
    );
    let out = InfoEntry::Symlink {
        path: &ab,
        target: "../../x",
    };
    assert_eq!(
        order([out, file(&b, 0)]),
        Err(BuildError::SymlinkLeaves { index: 0 })
    );
    assert_eq!(
        order([file(&a, u64::MAX), file(&b, 2)]),
        Err(BuildError::TooLarge)
    );
    assert_eq!(
        builder("..", &[]).single_file(0, false),
        Err(BuildError::Name(PathError::Dots))
    );
    assert!(matches!(
        builder("a", &[0; 20]).single_file(16385, false),
        Err(BuildError::Pieces { .. })
    ));
    assert!(matches!(
        builder("a", &[0; 20]).single_file(0, false),
        Err(BuildError::Pieces { .. })
    ));
    let no_length = InfoBuilder {
        piece_length_bytes: 0,
        ..builder("a", &[])
    };
    assert!(no_length.single_file(0, false).is_err());
}

#[test]
fn nothing_in_it_is_a_torrent_too() {
    assert_eq!(
        builder("d", &[])
            .folder([])
            .unwrap()
            .decode()
            .unwrap()
            .files,
        []
    );
    let empty = path("empty");
    let info = builder("d", &[])
        .folder([file(&empty, 0)])
        .unwrap()
        .decode()
        .unwrap();
    assert_eq!(
        (info.piece_count(), info.total_bytes, info.file_at(0)),
        (0, 0, None)
    );
}

#[test]
fn links_are_relative_to_the_root_and_back() {
    for (at, target, parts, back) in [
        ("a/b/l", "../x", Some("a/x"), "../x"),
        ("a/b/l", "./c//d", Some("a/b/c/d"), "c/d"),
        ("a/b/l", "../../x/y", Some("x/y"), "../../x/y"),
        ("l", "f", Some("f"), "f"),
        ("a/l", "..", None, ".."),
        ("l", ".", None, "."),
    ] {
        let from_root = symlink_from_root(&path(at), target).unwrap().join("/");
        assert_eq!(
            (!from_root.is_empty()).then_some(from_root.as_str()),
            parts,
            "{at} -> {target}"
        );
        assert_eq!(relative_target(&path(at), parts.map(path).as_ref()), back);
    }
    for target in ["/x", "", "../../x", "x/../../.."] {
        assert_eq!(symlink_from_root(&path("a/l"), target), None);
    }
}

#[test]
fn piece_lengths_follow_the_size() {
    for (total, length) in [
        (0, 16 << 10),
        ((1 << 20) - 1, 16 << 10),
        (1 << 20, 64 << 10),
        (128 << 20, 64 << 10),
        ((128 << 20) + 1, 128 << 10),
        (1 << 30, 512 << 10),
        (5 << 30, 4 << 20),
        (32 << 30, 16 << 20),
        (1 << 50, 16 << 20),
        (u64::MAX, 16 << 20),
    ] {
        assert_eq!(piece_length(total), length, "{total}");
    }
}

/// A foreign info dictionary whose `files` are given as bencode.
fn foreign(files: &str) -> Result<Info, MetainfoError> {
    Info::parse(format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces0:e").as_bytes())
}

fn foreign_paths(paths: &[&[&str]]) -> Result<Info, MetainfoError> {
    let files = paths.iter().map(|parts| {
        let parts: String = parts.iter().map(|p| format!("{}:{p}", p.len())).collect();
        format!("d6:lengthi0e4:pathl{parts}ee")
    });
    foreign(&files.collect::<String>())
}

#[test]
fn unsafe_paths_are_refused() {
    for (parts, reason) in [
        (&["..", "x"][..], PathError::Dots),
        (&["a", "."], PathError::Dots),
        (&["a/b"], PathError::Forbidden),
        (&["a\0b"], PathError::Forbidden),
        (&["", "etc"], PathError::Empty),
        (&[], PathError::Empty),
        (&["x"; 300], PathError::LongPath),
    ] {
        assert_eq!(
            foreign_paths(&[parts]),
            Err(MetainfoError::Path { index: 0, reason }),
            "{parts:?}"
        );
    }
    for name in ["..", "", "a/b"] {
        let bytes = format!(
            "d6:lengthi0e4:name{}:{name}12:piece lengthi1e6:pieces0:e",
            name.len()
        );
        assert!(matches!(
            Info::parse(bytes.as_bytes()),
            Err(MetainfoError::Name(_))
        ));
    }
}

#[test]
fn doubled_paths_and_files_that_are_folders_are_refused() {
    assert!(foreign_paths(&[&["b"], &["a"], &["a.b"]]).is_ok());
    for paths in [
        &[&["a"][..], &["b"], &["a"]][..],
        &[&["a", "b"], &["a"]],
        &[&["a"], &["a.b"], &["a", "c", "d"]],
    ] {
        assert_eq!(
            foreign_paths(paths),
            Err(MetainfoError::Twice { path: path("a") })
        );
    }
    let padding = "d4:attr1:p6:lengthi0e4:pathl4:.pad1:1ee";
    assert!(foreign(&[padding, padding].concat()).is_ok());
}

#[test]
fn a_link_that_leaves_points_to_itself() {
    for target in ["", "12:symlink pathl2:..1:xe", "12:symlink pathl1:/e"] {
        let info = foreign(&format!("d4:attr1:l6:lengthi0e4:pathl1:ae{target}e")).unwrap();
        assert_eq!(info.files[0].kind, FileKind::Symlink(Some(path("a"))));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let file = |rest: &str| foreign(&format!("d{rest}4:pathl1:aee"));
    assert_eq!(file("6:lengthi-1e"), Err(MetainfoError::Sizes));
    assert_eq!(file(""), Err(MetainfoError::Key { key: "length" }));
    assert_eq!(file("4:attr1:l6:lengthi1e"), Err(MetainfoError::Sizes));
    assert_eq!(file("6:lengthi1e"), Err(MetainfoError::Pieces));
    assert_eq!(foreign("i1e"), Err(MetainfoError::Key { key: "files" }));
    let huge = |name: &str| format!("d6:lengthi9223372036854775807e4:pathl1:{name}ee");
    assert_eq!(
        foreign(&[huge("a"), huge("b")].concat()),
        Err(MetainfoError::Sizes)
    );
    for (bytes, error) in [
        (&b"le"[..], MetainfoError::NoTorrent),
        (b"d", MetainfoError::Bencode(BencodeError::Short { at: 1 })),
        (b"de", MetainfoError::Key { key: "name" }),
        (b"d6:lengthi0e4:name1:\xffe", MetainfoError::NotUtf8),
        (
            b"d9:file treede12:meta versioni2e4:name1:ae",
            MetainfoError::V2Only,
        ),
        (b"d4:name1:ae", MetainfoError::Key { key: "files" }),
        (
            b"d5:filesle6:lengthi0e4:name1:ae",
            MetainfoError::Key { key: "files" },
        ),
        (
            b"d6:lengthi0e4:name1:ae",
            MetainfoError::Key {
                key: "piece length",
            },
        ),
        (
            b"d6:lengthi0e4:name1:a12:piece lengthi0e6:pieces0:e",
            MetainfoError::Key {
                key: "piece length",
            },
        ),
        (
            b"d6:lengthi0e4:name1:a12:piece lengthi1ee",
            MetainfoError::Key { key: "pieces" },
        ),
        (
            b"d6:lengthi0e4:name1:a12:piece lengthi1e6:pieces1:xe",
            MetainfoError::Pieces,
        ),
    ] {
        assert_eq!(Info::parse(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn utf8_forms_are_preferred() {
    let info = Info::parse(
        b"d5:filesld6:lengthi0e4:pathl1:\xffe10:path.utf-8l2:\xc3\xa9eee4:name1:\xff10:name.utf-82:\xc3\xa4\
          12:piece lengthi1e6:pieces0:e",
    )
    .unwrap();
    assert_eq!(
        (info.name.as_str(), info.files[0].path.as_str()),
        ("ä", "é")
    );
}

#[test]
fn a_torrent_goes_round() {
    let info = builder("a.txt", &[b'h'; 20]).single_file(5, false).unwrap();
    let mut torrent = Torrent {
        info: info.clone(),
        trackers: vec![vec!["http://a/announce".into()]],
        web_seeds: vec![],
        creation_date_secs: None,
        created_by: None,
    };
    assert!(
        torrent
            .encode()
            .starts_with(b"d8:announce17:http://a/announce4:infod6:length")
    );
    assert_eq!(Torrent::parse(&torrent.encode()), Ok(torrent.clone()));
    torrent.trackers = vec![
        vec!["http://a/x".into(), "udp://b:1".into()],
        vec!["http://c".into()],
    ];
    torrent.web_seeds = vec!["http://w/".into(), "http://v/".into()];
    torrent.creation_date_secs = Some(1_700_000_000);
    torrent.created_by = Some("shoal 0.1.0".into());
    let bytes = torrent.encode();
    assert!(Value::parse_canonical(&bytes).is_ok());
    assert_eq!(Torrent::parse(&bytes), Ok(torrent));
}

#[test]
fn foreign_torrents_may_be_untidy() {
    // Keys out of order, a web seed that is no list, trackers of the wrong kind.
    let bytes = b"d8:url-list8:http://w13:announce-listl4:oopsl10:http://t/ i1eee4:infod4:name1:a6:lengthi0eee";
    let torrent = Torrent::parse(bytes).unwrap();
    assert_eq!(torrent.info.as_bytes(), b"d4:name1:a6:lengthi0ee");
    assert_eq!(torrent.web_seeds, ["http://w"]);
    assert_eq!(torrent.trackers, [["http://t/"]]);
    assert_eq!(
        Torrent::parse(b"d4:infolee"),
        Err(MetainfoError::Key { key: "info" })
    );
    assert_eq!(Torrent::parse(b"i1e"), Err(MetainfoError::NoTorrent));
    assert!(InfoBytes::new(b"le".to_vec()).is_err());
    assert!(InfoBytes::new(b"dele".to_vec()).is_err());
}

/// Sizes of files, among them many empty ones.
fn sizes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![Just(0u64), 0u64..100, 16_383u64..16_386], 0..12)
}

proptest! {
    #[test]
    fn folders_go_round(sizes in sizes(), salt: [u8; 16]) {
        let paths: Vec<_> = (0..sizes.len()).map(|n| path(&format!("{}/é {n:02}", n / 3))).collect();
        let total: u64 = sizes.iter().sum();
        let pieces = vec![3; total.div_ceil(16 << 10) as usize * 20];
        let built = InfoBuilder { salt, ..builder("dir", &pieces) };
        let info = built.folder(paths.iter().zip(&sizes).map(|(path, size)| file(path, *size))).unwrap();
        prop_assert!(Value::parse_canonical(info.as_bytes()).is_ok());
        let decoded = info.decode().unwrap();
        prop_assert_eq!(decoded.total_bytes, total);
        prop_assert_eq!(decoded.files.iter().map(|f| f.length_bytes).collect::<Vec<_>>(), sizes);
    }

    #[test]
    fn slices_name_every_byte_once(sizes in sizes(), from in 0u64..20_000, len in 0u64..40_000) {
        let mut offset = 0;
        let mut bytes = Vec::new();
        let mut files = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let kind = FileKind::Plain;
            files.push(InfoFile { path: path(&index.to_string()), length_bytes: *size, offset_bytes: offset, kind });
            bytes.extend((0..*size).map(|at| (index, at)));
            offset += size;
        }
        let (name, layout, privacy) = ("n".to_owned(), Layout::Folder, Privacy::Public);
        let info = Info { name, layout, piece_length_bytes: 1, pieces: vec![], files, total_bytes: offset, privacy };
        let expected: Vec<_> = bytes.iter().copied().skip(from as usize).take(len as usize).collect();
        let found: Vec<_> = info
            .slices(from, len)
            .flat_map(|s| (s.offset_bytes..s.offset_bytes + s.len_bytes).map(move |at| (s.file_index, at)))
            .collect();
        prop_assert_eq!(&found, &expected);
        prop_assert!(info.slices(from, len).all(|s| s.len_bytes > 0));
        prop_assert_eq!(info.file_at(from), bytes.get(from as usize).copied());
        prop_assert_eq!(info.slices(u64::MAX, u64::MAX).count(), 0);
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let paths = ["a", "b/c"].map(path);
        let link = InfoEntry::Symlink { path: &paths[1], target: "../a" };
        let info = builder("dir", &[1; 20]).folder([file(&paths[0], 9), link]).unwrap();
        let torrent = Torrent { info, trackers: vec![vec!["http://a".into()]], web_seeds: vec!["x".into()],
            creation_date_secs: Some(1), created_by: None };
        let mut bytes = torrent.encode();
        *at.get_mut(&mut bytes) = byte;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(torrent) = Torrent::parse(bytes) {
                let _ = torrent.info.decode();
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Info::parse(&bytes);
        let _ = Torrent::parse(&bytes);
    }

    #[test]
    fn usual_sizes_have_a_thousand_to_two_thousand_pieces(total in (64u64 << 20) + 1..32 << 30) {
        let count = piece_count(total, piece_length(total)).unwrap();
        prop_assert!((1024..=2048).contains(&count), "{count}");
    }
}
