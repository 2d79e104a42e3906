use super::check;

#[test]
fn machines_and_models_agree() {
    for seed in 0..100 {
        assert_eq!(check(seed), None, "seed {seed}");
    }
}
