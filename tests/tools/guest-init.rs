//! Process 1 of the virtual machines of `cargo xtask vm`.

fn main() {
    glassbox_tests::guest::main();
}
