//! Xid errors, reported by the driver's own function for the fake GPU.

use glassbox_tests::real_driver::driver;

use super::watch::{Watch, expect_nothing_lost, guest};

#[test]
fn xid_errors_are_counted_by_pci_address_and_number() {
    let Some(_alone) = guest("xid_errors_are_counted_by_pci_address_and_number") else {
        return;
    };
    driver::load(true);
    let watch = Watch::start();
    let address = driver::gpu_address();
    driver::report_xid(79, 3);
    driver::report_xid(31, 1);
    let labels =
        |number: &str| [("pci_bus_id".to_owned(), address.clone()), ("xid".to_owned(), number.to_owned())];
    let expected = [("79", 3.0), ("31", 1.0)];
    watch.wait("both Xids are counted under the GPU's address", |scrape| {
        expected.iter().all(|(number, count)| {
            let labels = labels(number);
            scrape.of("glassbox_gpu_xid_errors_total", &labels).any(|sample| sample.value == *count)
        })
    });
    let scrape = watch.scrape();
    let counted: f64 = scrape.of("glassbox_gpu_xid_errors_total", &[]).map(|sample| sample.value).sum();
    assert_eq!(counted, 4.0, "no other GPU and no other number");
    expect_nothing_lost(&scrape);
}
