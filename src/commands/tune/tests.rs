//! Which settings follow from which device.

use super::{DEPTHS, Figure, Settings, WRITE_BYTES};
use flumen::base::units::{KIB, MIB};

/// A device whose operations take `fixed_us` and `per_mib_us` a MiB, at most `together` of them at a time.
fn device(fixed_us: f64, per_mib_us: f64, together: usize) -> Vec<Figure> {
    let figure = |bytes: u64, depth: usize| {
        let micros = fixed_us + per_mib_us * bytes as f64 / MIB as f64;
        // Operations overlap in what is fixed, not in what the bytes take.
        let fixed_share = fixed_us / depth.min(together) as f64;
        let per_second = 1e6 / (fixed_share + per_mib_us * bytes as f64 / MIB as f64);
        Figure { bytes, depth, per_second, p50_us: micros as u64, p99_us: micros as u64 }
    };
    WRITE_BYTES.iter().flat_map(|bytes| DEPTHS.iter().map(|depth| figure(*bytes, *depth))).collect()
}

#[test]
fn a_fast_device_takes_small_runs_and_few_groups() {
    let settings = Settings::from(&device(2.0, 300.0, 8));
    assert_eq!((settings.groups_in_flight_max, settings.direct_run_bytes_min), (2, 32 * KIB));
    assert_eq!(settings.group_bytes_max, 256 * KIB);
}

#[test]
fn a_device_with_a_long_way_wants_large_writes_and_several() {
    let settings = Settings::from(&device(1000.0, 500.0, 8));
    assert_eq!(settings.groups_in_flight_max, 8);
    assert!(settings.direct_run_bytes_min >= 64 * KIB, "{settings:?}");
    assert_eq!(settings.group_bytes_max, MIB);
}

#[test]
fn the_settings_are_as_a_configuration_file_has_them() {
    let settings = Settings { groups_in_flight_max: 4, group_bytes_max: MIB, direct_run_bytes_min: 32 * KIB };
    let expected =
        "[storage]\ngroups_in_flight_max = 4\ngroup_bytes_max = \"1 MiB\"\ndirect_run_bytes_min = \"32 KiB\"";
    assert_eq!(settings.toml(), expected);
}
