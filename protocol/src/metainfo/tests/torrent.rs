use super::*;

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
