//! Frames, headers, the table of APIs and the primitives.

use super::{Draw, FRAME_BYTES_MAX};
use crate::protocol::api::{
    ApiKey, TABLE, Unsupported, advertised, lookup, request_header_version, response_header_version,
};
use crate::protocol::frame::{FrameError, RequestHeader, frame_length, request_header};
use crate::protocol::primitives::{DecodeError, Fault, Reader, Writer};

#[test]
fn sizes_outside_the_limits_are_refused() {
    let length = |bytes: i32| frame_length(bytes.to_be_bytes(), 1000);
    assert_eq!(length(10), Ok(10));
    assert_eq!(length(1000), Ok(1000));
    assert_eq!(length(1001), Err(FrameError::TooLong { bytes: 1001, bytes_max: 1000 }));
    for bytes in [i32::MIN, -1, 0, 9] {
        assert_eq!(length(bytes), Err(FrameError::TooShort { bytes }));
    }
    let text = length(1001).expect_err("too long").to_string();
    assert_eq!(text, "a request of 1001 bytes, above socket.request.max.bytes=1000");
}

#[test]
fn other_protocols_are_named() {
    for version in 0..=4 {
        assert_eq!(frame_length([0x16, 0x03, version, 0x02], FRAME_BYTES_MAX), Err(FrameError::Tls));
    }
    for method in ["GET ", "POST", "HEAD", "PUT ", "OPTI"] {
        let first = method.as_bytes().try_into().expect("4 bytes");
        assert_eq!(frame_length(first, FRAME_BYTES_MAX), Err(FrameError::Http));
    }
    assert!(FrameError::Tls.to_string().contains("TLS") && FrameError::Http.to_string().contains("HTTP"));
    // With a limit so high that it could be a request, it is one.
    assert_eq!(frame_length([0x16, 0x03, 0x01, 0x02], 1 << 30), Ok(0x1603_0102));
}

#[test]
fn headers_of_both_versions_are_read() {
    let plain = [0, 3, 0, 8, 0, 0, 0, 9, 0, 2, b'm', b'e', 0xaa];
    let header = RequestHeader { api_key: 3, api_version: 8, correlation_id: 9, client_id: Some("me"), body_at: 12 };
    assert_eq!(request_header(&plain), Ok(header));
    // Version 9 of Metadata is flexible: one tagged field of three bytes, skipped; the client id null.
    let flexible = [0, 3, 0, 9, 0, 0, 0, 9, 0xff, 0xff, 1, 5, 3, 1, 2, 3, 0xaa];
    let header = RequestHeader { api_version: 9, client_id: None, body_at: 16, ..header };
    assert_eq!(request_header(&flexible), Ok(header));
    // An unknown key is read as far as every header goes, so that the refusal can name the client.
    let unknown = [0x7f, 0, 0, 9, 0, 0, 0, 9, 0, 0];
    assert_eq!(request_header(&unknown).map(|header| (header.api_key, header.body_at)), Ok((0x7f00, 10)));
    for frame in [&plain[..12], &flexible[..16]] {
        for end in 0..frame.len() {
            assert!(request_header(&frame[..end]).is_err(), "cut at {end}");
        }
    }
    let fault = request_header(&[0, 3, 0, 8, 0, 0, 0, 9, 0, 1, 0xff]).expect_err("not UTF-8");
    assert_eq!(fault, FrameError::Header(DecodeError { at: 8, fault: Fault::NotUtf8 }));
    assert_eq!(fault.to_string(), "the request header cannot be read: at byte 8: a string that is not UTF-8");
}

#[test]
fn random_bytes_are_no_reason_to_panic() {
    let mut draw = Draw::new(1);
    for _ in 0..200_000 {
        let mut bytes = draw.bytes(64).to_vec();
        // Half of them with a key and version that exist, to come further.
        if draw.yes() && bytes.len() > 4 {
            let api = draw.pick(TABLE);
            bytes[..2].copy_from_slice(&api.key.code().to_be_bytes());
            bytes[2..4].copy_from_slice(&api.max.to_be_bytes());
        }
        if let Ok(first) = bytes[..bytes.len().min(4)].try_into() {
            let _ = frame_length(first, FRAME_BYTES_MAX);
        }
        if let Ok(header) = request_header(&bytes) {
            assert!(header.body_at <= bytes.len());
            let _ = lookup(header.api_key, header.api_version);
        }
    }
}

#[test]
fn the_table_is_that_of_kafka_4_3() {
    assert_eq!(TABLE.len(), 89);
    for api in TABLE {
        assert_eq!(ApiKey::from_code(api.key.code()), Some(api.key));
        assert_eq!(api.key.api(), api);
    }
    for code in [-1, 4, 7, 93, i16::MAX, i16::MIN] {
        assert_eq!(ApiKey::from_code(code), None);
    }
    assert_eq!(ApiKey::DeleteShareGroupOffsets.to_string(), "DeleteShareGroupOffsets");
    assert_eq!(advertised().count(), 38);
}

#[test]
fn the_table_agrees_with_the_crate_where_it_knows_the_api() {
    use kafka_protocol::messages::ApiKey as Theirs;
    for api in TABLE {
        // Keys 88 and 89 (streams groups) came after the crate's schemas.
        let Ok(theirs) = Theirs::try_from(api.key.code()) else {
            assert!(matches!(api.key, ApiKey::StreamsGroupHeartbeat | ApiKey::StreamsGroupDescribe), "{}", api.key);
            continue;
        };
        assert_eq!(format!("{theirs:?}"), api.key.name());
        for version in api.min..=api.max.min(theirs.valid_versions().max) {
            let code = api.key.code();
            assert_eq!(request_header_version(code, version), theirs.request_header_version(version), "{}", api.key);
            assert_eq!(response_header_version(api.key, version), theirs.response_header_version(version));
        }
        // What the crate lacks is read by hand, or as the version before.
        let longer_here = [ApiKey::ListOffsets, ApiKey::OffsetCommit, ApiKey::OffsetFetch, ApiKey::WriteTxnMarkers];
        if api.advertised && !longer_here.contains(&api.key) {
            let valid = theirs.valid_versions();
            assert!(valid.min <= api.min && api.max <= valid.max, "{} is decodable where it is advertised", api.key);
        }
    }
}

#[test]
fn look_ups_say_what_is_refused() {
    assert_eq!(lookup(0, 3).map(|api| api.key), Ok(ApiKey::Produce));
    for version in [-1, 0, 1, 2, 14] {
        assert_eq!(lookup(0, version), Err(Unsupported::Version { key: ApiKey::Produce, version }));
    }
    assert_eq!(lookup(18, 99).map(|api| api.key), Ok(ApiKey::ApiVersions), "KIP-511");
    assert_eq!(lookup(7, 0), Err(Unsupported::UnknownKey { key: 7 }));
    assert_eq!(lookup(36, 0), Err(Unsupported::NotServed { key: ApiKey::SaslAuthenticate, version: 0 }));
    let text = lookup(0, 2).expect_err("too old").to_string();
    assert_eq!(text, "Produce version 2 is not served: use a client that speaks 3 to 13");
}

#[test]
fn varints_end_and_fit_32_bits() {
    for (value, bytes) in
        [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u32::MAX >> 4, 4), (1 << 28, 5), (u32::MAX, 5)]
    {
        let mut writer = Writer::reply(0, false, true, 0);
        writer.unsigned_varint(value);
        let frame = writer.finish(0).expect("small");
        assert_eq!(frame.len(), 8 + bytes);
        let mut reader = Reader::new(&frame, 8, true);
        assert_eq!((reader.unsigned_varint(), reader.left()), (Ok(value), 0));
    }
    for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x1f][..], &[0x80; 6], &[0xff; 9]] {
        assert_eq!(Reader::new(bytes, 0, true).unsigned_varint(), Err(DecodeError { at: 0, fault: Fault::Varint }));
    }
}

#[test]
fn lengths_that_stand_for_nothing_are_refused() {
    let string = |bytes: &[u8], flexible| Reader::new(bytes, 0, flexible).string().map(str::to_owned);
    assert_eq!(string(&[0, 1, b'a'], false), Ok("a".to_owned()));
    assert_eq!(string(&[2, b'a'], true), Ok("a".to_owned()));
    assert_eq!(string(&[0xff, 0xff], false), Err(DecodeError { at: 0, fault: Fault::Null }));
    assert_eq!(string(&[0], true), Err(DecodeError { at: 0, fault: Fault::Null }));
    assert_eq!(string(&[0xff, 0xfe], false), Err(DecodeError { at: 0, fault: Fault::NegativeLength(-2) }));
    let long = [&[0x81, 0x80, 0x02][..], &[b'a'; 32_768]].concat();
    assert_eq!(string(&long, true), Err(DecodeError { at: 0, fault: Fault::StringTooLong(32_768) }));

    let bytes = |bytes: &[u8]| Reader::new(bytes, 0, false).nullable_bytes();
    assert_eq!(bytes(&[0xff; 4]), Ok(None));
    assert_eq!(bytes(&[0, 0, 0, 1, 9]), Ok(Some(4..5)));
    assert_eq!(bytes(&[0x80, 0, 0, 0]), Err(DecodeError { at: 0, fault: Fault::NegativeLength(i32::MIN) }));
    assert_eq!(bytes(&[0, 0, 0, 2, 9]), Err(DecodeError { at: 4, fault: Fault::Truncated { needed: 2, left: 1 } }));
}
