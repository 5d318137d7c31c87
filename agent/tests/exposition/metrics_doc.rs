//! docs/metrics.md is generated from the table of families.

use glassbox::exposition::document;

use super::{
    assert_is_file,
    budget::{cpu_container, gpu_container},
};

#[test]
fn the_documentation_is_up_to_date() {
    assert_is_file("docs/metrics.md", &document(&cpu_container(), &gpu_container()).unwrap());
}
