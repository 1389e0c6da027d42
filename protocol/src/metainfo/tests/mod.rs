#![allow(clippy::unwrap_used)]

mod build;
mod parse;
mod torrent;

use super::*;
use crate::bencode::Value;
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
