//! A CUDA application that does as it is told: `cuda-work libcuda.so.1`, then orders on the standard input.
//! See `glassbox_tests::cuda`.

fn main() -> anyhow::Result<()> {
    glassbox_tests::cuda::main()
}
