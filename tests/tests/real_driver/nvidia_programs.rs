//! NVIDIA's own programs with the recorder, only in guests of `--non-free`.

use std::path::Path;

use glassbox_tests::{
    inapplicable,
    real_driver::{account::Detail, container::Container, driver},
};

use super::watch::{Watch, guest};

const SMI: &str = "/bin/nvidia-smi";

#[test]
fn calls_of_libcuda_and_nvidia_smi_are_counted() {
    const TEST: &str = "calls_of_libcuda_and_nvidia_smi_are_counted";
    let Some(_alone) = guest(TEST) else { return };
    if !Path::new(SMI).is_file() {
        inapplicable(TEST, "no libcuda and nvidia-smi, see `cargo xtask vm --real-driver --non-free`");
        return;
    }
    driver::load(true);
    let watch = Watch::start();
    let [cuda, smi, query] = [(); 3].map(|()| Container::new());
    cuda.run(&["cuda"]);
    let account = watch.expect_agreement(&cuda, Detail::Groups);
    assert!(account.total() >= 10, "{account:?}");
    // Without a working GPU it fails, after it has queried the driver.
    smi.run_any(SMI, &[]);
    watch.expect_agreement(&smi, Detail::Groups);
    query.run_any(SMI, &["-q", "-x"]);
    watch.expect_agreement(&query, Detail::Groups);
}
