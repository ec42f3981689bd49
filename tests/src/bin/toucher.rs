//! `toucher SURFACE FILE`: touches a file as its input says; a program for tests of mounts that are treated badly.

use std::process::ExitCode;

use clap::ValueEnum;
use scifs_tests::shared::surface::Surface;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let surface = arguments.next().and_then(|name| Surface::from_str(&name, false).ok());
    let (Some(surface), Some(path)) = (surface, arguments.next()) else {
        eprintln!("usage: toucher file|vm FILE < orders");
        return ExitCode::from(2);
    };
    match scifs_tests::hostile::toucher::serve(surface, path.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toucher: {error}");
            ExitCode::FAILURE
        }
    }
}
