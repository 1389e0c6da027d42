#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// An owned value, for round trips.
#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Owned>),
    Dict(BTreeMap<Vec<u8>, Owned>),
}

fn write(encoder: Encoder<'_>, value: &Owned) -> Written {
    match value {
        Owned::Int(value) => encoder.int(*value),
        Owned::Bytes(value) => encoder.bytes(value),
        Owned::List(items) => {
            encoder.list(|l| items.iter().for_each(|item| l.value(|e| write(e, item))))
        }
        // Descending on purpose: the encoder has to put it right.
        Owned::Dict(entries) => encoder.nested_dict(|d| {
            entries
                .iter()
                .rev()
                .for_each(|(key, value)| d.entry(key, |e| write(e, value)));
        }),
    }
}

fn read(value: Value<'_>) -> Owned {
    match value {
        Value::Int(value) => Owned::Int(value),
        Value::Bytes(value) => Owned::Bytes(value.to_vec()),
        Value::List(list) => Owned::List(list.iter().map(read).collect()),
        Value::Dict(dict) => Owned::Dict(
            dict.iter()
                .map(|(key, value)| (key.to_vec(), read(value)))
                .collect(),
        ),
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Owned::Int),
        any::<Vec<u8>>().prop_map(Owned::Bytes)
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Owned::List),
            prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..4), inner, 0..8)
                .prop_map(Owned::Dict),
        ]
    })
}

/// Bytes that look like bencode more often than random ones do.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ilde0123:-9a\xff".to_vec()), 0..40)
}

proptest! {
    #[test]
    fn values_go_round(value in owned()) {
        let bytes = Encoder::encode(|e| write(e, &value));
        prop_assert_eq!(read(Value::parse_canonical(&bytes).unwrap()), value);
    }

    #[test]
    fn raw_copies_bytes(value in owned()) {
        let bytes = Encoder::encode(|e| write(e, &value));
        let copy = Encoder::encode(|e| e.raw(Value::parse(&bytes).unwrap()));
        prop_assert_eq!(copy, bytes);
    }

    #[test]
    fn canonical_bytes_have_one_form(bytes in almost()) {
        if let Ok(value) = Value::parse_canonical(&bytes) {
            prop_assert_eq!(Encoder::encode(|e| write(e, &read(value))), bytes);
        }
    }

    #[test]
    fn anything_is_read_or_refused(bytes in prop_oneof![almost(), any::<Vec<u8>>()]) {
        let strict = Value::parse_canonical(&bytes);
        let lenient = Value::parse(&bytes);
        if let Ok(value) = strict {
            prop_assert_eq!(lenient, Ok(value));
        }
        if let Ok((value, rest)) = Value::parse_prefix(&bytes) {
            read(value);
            prop_assert!(bytes.ends_with(rest));
        }
    }
}

#[test]
fn the_vectors_of_bep_3() {
    assert_eq!(Value::parse(b"4:spam"), Ok(Value::Bytes(b"spam")));
    assert_eq!(Value::parse(b"i3e"), Ok(Value::Int(3)));
    assert_eq!(Value::parse(b"i-3e"), Ok(Value::Int(-3)));
    assert_eq!(Value::parse(b"i0e"), Ok(Value::Int(0)));
    let list = Value::parse(b"l4:spam4:eggse").unwrap().as_list().unwrap();
    assert_eq!(
        list.iter().filter_map(|v| v.as_str()).collect::<Vec<_>>(),
        ["spam", "eggs"]
    );
    let dict = Value::parse(b"d3:cow3:moo4:spam4:eggse")
        .unwrap()
        .as_dict()
        .unwrap();
    assert_eq!(dict.get(b"cow").unwrap().as_str(), Some("moo"));
    assert_eq!(dict.get(b"spam").unwrap().as_str(), Some("eggs"));
    let dict = Value::parse(b"d4:spaml1:a1:bee")
        .unwrap()
        .as_dict()
        .unwrap();
    assert_eq!(
        dict.get(b"spam").unwrap().as_list().unwrap().raw(),
        b"l1:a1:be"
    );
    assert_eq!(dict.get(b"nothing"), None);
}

#[test]
fn refuses_what_is_malformed() {
    use BencodeError::*;
    for (bytes, error) in [
        (&b""[..], Short { at: 0 }),
        (b"i-0e", Number { at: 1 }),
        (b"i03e", Number { at: 1 }),
        (b"i00e", Number { at: 1 }),
        (b"ie", Unexpected { at: 1 }),
        (b"i-e", Unexpected { at: 2 }),
        (b"i+1e", Unexpected { at: 1 }),
        (b"i1", Short { at: 2 }),
        (b"i9223372036854775808e", Number { at: 1 }),
        (b"i-9223372036854775809e", Number { at: 1 }),
        (b"5:spam", Short { at: 6 }),
        (b"04:spam", Number { at: 0 }),
        (b"-1:a", Unexpected { at: 0 }),
        (b"99999999999999999999999999:", Number { at: 0 }),
        (b"18446744073709551615:a", Number { at: 0 }),
        (b"4spam", Unexpected { at: 1 }),
        (b"l", Short { at: 1 }),
        (b"e", Unexpected { at: 0 }),
        (b"d1:ae", Unexpected { at: 4 }),
        (b"di1ei1ee", Unexpected { at: 1 }),
        (b"i1ei2e", Trailing { at: 3 }),
        (b"x", Unexpected { at: 0 }),
    ] {
        assert_eq!(Value::parse(bytes), Err(error), "{}", bytes.escape_ascii());
        assert!(Value::parse_canonical(bytes).is_err());
    }
    assert_eq!(
        Value::parse(b"i9223372036854775807e"),
        Ok(Value::Int(i64::MAX))
    );
    assert_eq!(
        Value::parse(b"i-9223372036854775808e"),
        Ok(Value::Int(i64::MIN))
    );
}

#[test]
fn key_order_matters_to_the_strict_parser_only() {
    for bytes in [
        &b"d1:bi1e1:ai2ee"[..],
        b"d1:ai1e1:ai2ee",
        b"ld1:bi1e1:ai2eee",
    ] {
        assert!(Value::parse(bytes).is_ok());
        assert!(matches!(
            Value::parse_canonical(bytes),
            Err(BencodeError::KeyOrder { .. })
        ));
    }
    let doubled = Value::parse(b"d1:ai1e1:ai2ee").unwrap().as_dict().unwrap();
    assert_eq!(doubled.get(b"a"), Some(Value::Int(1)));
}

#[test]
fn depth_is_limited() {
    let nest = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
    assert!(Value::parse(&nest(BENCODE_MAX_DEPTH)).is_ok());
    assert_eq!(
        Value::parse(&nest(BENCODE_MAX_DEPTH + 1)),
        Err(BencodeError::Depth {
            at: BENCODE_MAX_DEPTH
        })
    );
    assert!(matches!(
        Value::parse(&b"l".repeat(1 << 20)),
        Err(BencodeError::Depth { .. })
    ));
}

#[test]
fn what_follows_a_value_is_given_back() {
    let (value, rest) = Value::parse_prefix(b"d8:msg_typei1eeREST").unwrap();
    assert_eq!(value.as_dict().unwrap().raw(), b"d8:msg_typei1ee");
    assert_eq!(rest, b"REST");
}

#[test]
fn the_encoder_sorts_keys_and_keeps_the_last_of_a_doubled_one() {
    let bytes = Encoder::dict(|d| {
        d.entry(b"b", |e| e.int(1));
        d.entry(b"a", |e| e.list(|l| l.value(|e| e.str("x"))));
        d.entry(b"b", |e| e.int(2));
        d.entry_if(b"c", None::<i64>, |e, v| e.int(v));
    });
    assert_eq!(bytes, b"d1:al1:xe1:bi2ee");
}
