//! `scifs manual`: the manual page scifs(8), from the definitions that the command line is read by.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{CliError, command, help, print};
use crate::control::ControlError;

/// Print the manual page, scifs(8), as troff
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run() -> Result<(), CliError> {
    let page = page().map_err(|error| {
        CliError::Control(ControlError::Answer { request: "manual".into(), what: error.to_string() })
    })?;
    print(&String::from_utf8_lossy(&page));
    Ok(())
}

fn page() -> std::io::Result<Vec<u8>> {
    let command = command();
    let man = Man::new(command.clone()).section("8").manual("SciFS");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis().to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    section("MOUNT OPTIONS", help::MOUNT_OPTIONS).to_writer(&mut page)?;
    commands(command, &mut page)?;
    for (title, text) in [
        ("EXAMPLES", help::EXAMPLES),
        ("FSTAB", help::FSTAB),
        ("EXTENDED ATTRIBUTES", help::ATTRIBUTES),
        ("ENVIRONMENT", help::ENVIRONMENT),
        ("FILES", help::FILES),
        ("EXIT STATUS", &help::exit_codes()),
        ("SEE ALSO", "mount(8), fuse(8), fusermount3(1), systemd.mount(5)"),
    ] {
        section(title, text).to_writer(&mut page)?;
    }
    Ok(page)
}

fn synopsis() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (words, rest) in [("scifs", " [SOURCE] MOUNTPOINT [-o OPTIONS] [-f] [-d]"), ("scifs", " COMMAND ...")]
    {
        roff.text([bold(words), roman(rest)]);
        roff.control("br", []);
    }
    roff.text([bold("mount -t fuse scifs"), roman(" MOUNTPOINT [-o OPTIONS]")]);
    roff
}

/// Text whose lines stay as they are.
fn section(title: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.control("nf", []);
    for line in text.trim_end().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn commands(mut command: clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    command.build();
    let mut heading = Roff::new();
    heading.control("SH", ["COMMANDS"]);
    heading.to_writer(page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        one_command(sub, page)?;
    }
    Ok(())
}

fn one_command(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let deeper: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    if !deeper.is_empty() {
        return deeper.into_iter().try_for_each(|sub| one_command(sub, page));
    }
    let mut command = command.clone();
    let mut roff = Roff::new();
    let usage = command.render_usage().to_string();
    roff.control("SS", [usage.trim_start_matches("Usage: ")]);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    roff.text([roman(about)]);
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if help.is_empty() || matches!(argument.get_id().as_str(), "help" | "version") {
            continue;
        }
        roff.control("TP", []);
        roff.text([bold(argument.to_string())]);
        roff.text([roman(help)]);
    }
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_option() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for word in [
            "scifs umount",
            "scifs dev up",
            "scifs create",
            "scifs exec",
            "SCIFS_PRELOAD",
            "memory=SIZE",
            "EXIT STATUS",
            "user.scifs.address",
            ".TH",
        ] {
            assert!(page.replace("\\-", "-").contains(word), "{word} is not in the page");
        }
    }
}
