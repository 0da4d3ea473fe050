//! Writes archives to begin with into a directory.

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).map(std::path::PathBuf::from).unwrap_or_default();
    std::fs::create_dir_all(&directory)?;
    fuzz_archive::seeds()
        .into_iter()
        .try_for_each(|(name, bytes)| std::fs::write(directory.join(name), bytes))
}
