//! `toucher FILE`: touches a file as its input says; a program for tests of mounts that are treated badly.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: toucher FILE < orders");
        return ExitCode::from(2);
    };
    match scifs_tests::hostile::toucher::serve(path.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toucher: {error}");
            ExitCode::FAILURE
        }
    }
}
