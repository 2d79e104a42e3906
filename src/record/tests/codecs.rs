//! The codecs: round trips, framings, bounds and damage.

use crate::base::prng::Prng;
use crate::record::Compression;
use crate::record::compress::Fault;

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Compressible and incompressible stretches.
fn sample(bytes: usize) -> Vec<u8> {
    let mut prng = Prng::new(bytes as u64);
    let mut sample = vec![0; bytes];
    for (at, piece) in sample.chunks_mut(700).enumerate() {
        if at % 3 == 0 { prng.fill(piece) } else { piece.fill(at as u8) }
    }
    sample
}

#[test]
fn what_is_compressed_is_decompressed() {
    for bytes in [0, 1, 100, 32 << 10, (32 << 10) + 1, 300_000] {
        let sample = sample(bytes);
        for compression in Compression::ALL {
            let compressed = compression.compress(&sample);
            assert_eq!(compression.decompress(&compressed, bytes), Ok(sample.clone()), "{compression}, {bytes} bytes");
        }
    }
}

#[test]
fn the_bound_is_exact() {
    let sample = sample(100_000);
    for compression in Compression::ALL {
        let compressed = compression.compress(&sample);
        let refused = compression.decompress(&compressed, sample.len() - 1);
        assert_eq!(refused, Err(Fault::TooLarge { bytes_max: sample.len() - 1 }), "{compression}");
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let zeros = vec![0; 64 << 20];
    for compression in CODECS {
        let compressed = compression.compress(&zeros);
        assert!(compressed.len() < 4 << 20, "{compression}: {} bytes", compressed.len());
        assert_eq!(compression.decompress(&compressed, 1 << 20), Err(Fault::TooLarge { bytes_max: 1 << 20 }));
    }
}

#[test]
fn cut_streams_are_malformed() {
    let sample = sample(5000);
    for compression in CODECS {
        let compressed = compression.compress(&sample);
        // Cuts at a block's end are no fault of snappy's framing, which has no end mark.
        for cut in 1..compressed.len() {
            let result = compression.decompress(&compressed[..cut], 1 << 20);
            assert!(result.as_ref() != Ok(&sample), "{compression} cut at {cut}");
            if compression != Compression::Snappy {
                assert_eq!(result, Err(Fault::Malformed), "{compression} cut at {cut}");
            }
        }
    }
}

#[test]
fn both_snappy_framings_are_read() {
    let sample = sample(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&sample).expect("small");
    assert_eq!(Compression::Snappy.decompress(&raw, 1 << 20), Ok(sample.clone()));
    let framed = Compression::Snappy.compress(&sample);
    assert!(framed.starts_with(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"));
    let twice = [&framed[..], &framed[..]].concat();
    assert_eq!(Compression::Snappy.decompress(&twice, 1 << 20), Ok(sample.repeat(2)));
}

#[test]
fn snappy_claims_are_not_believed() {
    // A raw block of six bytes that claims 100 MB.
    let claim = [0x80, 0xc2, 0xd7, 0x2f, 0, 0];
    assert_eq!(Compression::Snappy.decompress(&claim, 128 << 20), Err(Fault::Malformed));
    // A block length beyond the end.
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0x7f, 0xff, 0xff, 0xff, 0]].concat();
    assert_eq!(Compression::Snappy.decompress(&framed, 1 << 20), Err(Fault::Malformed));
}

#[test]
fn gzip_members_are_joined() {
    let (one, two) = (Compression::Gzip.compress(b"one"), Compression::Gzip.compress(b"two"));
    assert_eq!(Compression::Gzip.decompress(&[one, two].concat(), 100), Ok(b"onetwo".to_vec()));
}

#[test]
fn names_and_ids_agree() {
    for (id, compression) in (0..).zip(Compression::ALL) {
        assert_eq!((compression.id(), Compression::from_id(id)), (id, Some(compression)));
        assert_eq!(Compression::from_name(compression.name()), Some(compression));
    }
    assert_eq!((Compression::from_id(5), Compression::from_id(-1)), (None, None));
    assert_eq!(Compression::from_name("brotli"), None);
}
