use super::*;
use crate::bencode::BencodeError;
use crate::path::PathError;

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
