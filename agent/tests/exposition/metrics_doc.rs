//! docs/metrics.md says what the table says.

use glassbox::exposition::document;

use super::{
    assert_is_file,
    budget::{cpu_container, gpu_container},
};

#[test]
fn the_documentation_is_that_of_the_table() {
    assert_is_file("docs/metrics.md", &document(&cpu_container(), &gpu_container()).unwrap());
}
