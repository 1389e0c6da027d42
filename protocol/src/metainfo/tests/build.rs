use super::*;
use crate::path::PathError;

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

/// libtorrent 2.1.1, Transmission 3.00 and aria2 1.36 read the same infohash from this torrent.
#[test]
fn a_folder_has_the_infohash_that_other_clients_see() {
    let paths = ["a", "b/link", "b/root", "b/run", "b/x/dang", "é n"].map(path);
    let [a, link, root, run, dangling, last] = &paths;
    let info = InfoBuilder {
        salt: [2; 16],
        ..builder("dir", &[1; 20])
    }
    .folder([
        file(a, 5),
        InfoEntry::Symlink {
            path: link,
            target: "../a",
        },
        InfoEntry::Symlink {
            path: root,
            target: "..",
        },
        InfoEntry::File {
            path: run,
            size_bytes: 7,
            executable: true,
        },
        InfoEntry::Symlink {
            path: dangling,
            target: "../nowhere",
        },
        file(last, 0),
    ]);
    assert_eq!(
        info.unwrap().infohash().to_hex(),
        "6e7dd1fb15e819b0bd17b0c1bbbfb7438935cd31"
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
