//! Answers of a node, for people.

use std::fmt::Write;

use serde_json::Value;

/// Bytes with the unit that leaves one to four digits.
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

pub(super) fn optional_bytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| "?".into(), bytes)
}

pub(super) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

pub(super) fn status(status: &Value) -> String {
    let mut text = String::new();
    let memory = &status["memory"];
    let secured = if status["secret"] == true { "with a secret" } else { "without a secret" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} (member {}) at {} over {}, {secured}",
        word(&status["name"]),
        status["number"],
        word(&status["address"]),
        word(&status["fabric"]),
    );
    let _ = writeln!(
        text,
        "cluster {}, view {}, {}",
        word(&status["cluster"]),
        status["epoch"],
        word(&status["standing"]),
    );
    if let Some(problem) = status["no_quorum"].as_str() {
        let _ = writeln!(text, "NO QUORUM: {problem}");
    }
    let _ = writeln!(
        text,
        "memory {}: {} used, {} free",
        optional_bytes(&memory["budget_bytes"]),
        optional_bytes(&status["used_bytes"]),
        optional_bytes(&memory["free_bytes"]),
    );
    mount(&status["mount"], &mut text);
    requests(&status["metrics"], &mut text);
    let _ = writeln!(
        text,
        "\n{:>3}  {:<20} {:<24} {:>10} {:>10} {:>5}  role",
        "no", "name", "address", "memory", "free", "load"
    );
    for member in status["members"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let role = match (member["leads"] == true, member["votes"] == true) {
            (true, _) => "leads",
            (false, true) => "votes",
            (false, false) => "",
        };
        let load =
            member["load_per_mille"].as_u64().map_or_else(|| "?".into(), |load| format!("{}%", load / 10));
        let _ = writeln!(
            text,
            "{:>3}  {:<20} {:<24} {:>10} {:>10} {load:>5}  {role}",
            member["number"].as_u64().unwrap_or_default(),
            word(&member["name"]),
            word(&member["address"]),
            optional_bytes(&member["memory_bytes"]),
            optional_bytes(&member["free_bytes"]),
        );
    }
    text
}

fn mount(mount: &Value, text: &mut String) {
    let Value::Object(fields) = mount else { return };
    let _ = write!(text, "mounted on {}", word(&mount["mountpoint"]));
    for (name, value) in fields.iter().filter(|(_, value)| value.is_u64()) {
        let _ = write!(text, ", {} {value}", name.replace('_', " "));
    }
    text.push('\n');
}

/// How many requests of the kernel there were, of all kinds together, if the node counts them.
fn requests(metrics: &Value, text: &mut String) {
    let families = metrics["families"].as_array().map(Vec::as_slice).unwrap_or_default();
    for family in families.iter().filter(|family| family["name"] == REQUESTS) {
        let series = family["series"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sum: u64 = series.iter().filter_map(count).sum();
        let _ = writeln!(text, "requests {sum}");
    }
}

/// What the mount calls the histogram of its requests.
const REQUESTS: &str = "scifs_fuse_request_ns";

fn count(series: &Value) -> Option<u64> {
    let value = &series["value"];
    value.as_u64().or_else(|| value["count"].as_u64()).or_else(|| value["Histogram"]["count"].as_u64())
}

pub(super) fn round_trips(answer: &Value) -> String {
    let mut text = format!("{:<20} {:>12} {:>12}\n", "member", "empty", "4 KiB page");
    for trip in answer["round_trips"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let name = word(&trip["member"]);
        let _ = match trip["error"].as_str() {
            Some(error) => writeln!(text, "{name:<20} {error}"),
            None => writeln!(
                text,
                "{name:<20} {:>9.1} µs {:>9.1} µs",
                trip["empty_us"].as_f64().unwrap_or_default(),
                trip["page_us"].as_f64().unwrap_or_default(),
            ),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(8 << 30), "8.0 GiB");
        assert!(bytes(u64::MAX).ends_with("PiB"));
    }

    #[test]
    fn an_answer_that_lacks_everything_is_still_shown() {
        assert!(status(&json!({})).contains('?'));
        assert!(round_trips(&json!({})).contains("member"));
    }
}
