//! What is written can be read, and nothing else can.

use super::*;

fn parcel() -> Parcel {
    let part = |id: &'static str, body: &'static str| Part {
        to_patterns: id.is_empty(),
        id: Bytes::from(id),
        body: Bytes::from(body),
    };
    Parcel {
        epoch: u64::MAX,
        first: (1 << 53) - 1,
        at: 1_800_000_000_000,
        before: vec![(1 << 40, 64), ((1 << 40) - 1, 1), (7, 300)],
        parts: vec![part("", "one"), part("id", ""), part("x", "three")],
    }
}

#[test]
fn a_parcel_comes_back_as_it_was() {
    for parcel in [parcel(), Parcel::default(), Parcel { epoch: 1, first: 1, ..Parcel::default() }]
    {
        assert_eq!(Parcel::decode(&parcel.encode()), Some(parcel));
    }
}

#[test]
fn a_position_is_that_of_the_last_part() {
    assert_eq!(
        Parcel { epoch: 1, first: 1, ..Parcel::default() }.position(),
        Position { epoch: 1, offset: 0 }
    );
    assert_eq!(parcel().position().offset, (1 << 53) + 1);
}

#[test]
fn a_parcel_that_is_cut_or_too_long_is_none() {
    let whole = parcel().encode();
    for end in 0..whole.len() {
        assert_eq!(Parcel::decode(&whole.slice(..end)), None, "{end}");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert_eq!(Parcel::decode(&longer.into()), None);
}

#[test]
fn no_nonsense_panics() {
    let whole = parcel().encode();
    for i in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut other = whole.to_vec();
            other[i] = byte;
            let other = Bytes::from(other);
            let _ = (
                Parcel::decode(&other),
                Claim::decode(&other),
                decode_nodes(&other),
                Scan::of(&other).entry(),
            );
        }
    }
}

#[test]
fn claims_nodes_and_entries_come_back() {
    let claim = Claim {
        stage: Stage::Said,
        node: NodeId(5),
        at: 9,
        position: Some(Position { epoch: 3, offset: 300 }),
    };
    assert_eq!(Claim::decode(&claim.encode()), Some(claim));
    let claim = Claim { stage: Stage::Saying, position: None, ..claim };
    assert_eq!(Claim::decode(&claim.encode()), Some(claim));
    let nodes = [NodeId(1), NodeId(u64::MAX)];
    assert_eq!(decode_nodes(&encode_nodes(&nodes)), nodes);
    for user in [None, Some(User::from("")), Some(User::from("対話"))] {
        let entry =
            Entry { session: SessionId(7), link: Link(2), user, body: Bytes::from_static(b"{}") };
        let mut out = BytesMut::new();
        put_entry(&mut out, &entry);
        assert_eq!(Scan::of(&out.freeze()).entry(), Some(entry));
    }
}
