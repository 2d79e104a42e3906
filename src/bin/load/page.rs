//! One self-contained page about one or more runs: figures, latencies by percentile, throughput and latency over time.
//! The plots are drawn as SVG in the page itself; nothing is loaded from elsewhere.

use std::fmt::Write;

use super::summary::{Latency, Summary};

mod plot;

use plot::{Axis, Line, Plot};

/// Colours of lines, told apart by people who do not see all colours, on light and on dark ground.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #666; --line: #ddd; --ground: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #999; --line: #383838; --ground: #161616; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 64rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 500; }
.scroll { overflow-x: auto; } code { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .data { fill: none; stroke-width: 2; stroke-linejoin: round; }
.legend span { margin-right: 1.2rem; white-space: nowrap; } .swatch { display: inline-block; width: .8rem; height: .8rem;
border-radius: 2px; margin-right: .35rem; vertical-align: -.08rem; }
";

/// The page.
pub fn render(summaries: &[Summary]) -> String {
    let title = if summaries.len() == 1 { name(&summaries[0], 0) } else { format!("{} runs", summaries.len()) };
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>flumen-load: {title}</title><style>{STYLE}</style></head><body>\n<h1>flumen-load: {title}</h1>\n",
        title = escape(&title)
    );
    page.push_str(&figures(summaries));
    page.push_str("<h2>Latency by percentile</h2>\n");
    page.push_str(&by_percentile(summaries));
    page.push_str("<h2>Throughput over time</h2>\n");
    page.push_str(&over_time(summaries, "MB/s", |second| second.bytes as f64 / 1e6));
    page.push_str(&over_time(summaries, "requests/s", |second| second.requests as f64));
    page.push_str("<h2>99th percentile of each second</h2>\n");
    page.push_str(&over_time(summaries, "ms", |second| second.p99_ms));
    page.push_str("<h2>Commands</h2>\n");
    for (index, summary) in summaries.iter().enumerate() {
        let _ = writeln!(
            page,
            "<p>{}<br><code>flumen-load {}</code></p>",
            escape(&name(summary, index)),
            escape(&summary.command)
        );
    }
    page.push_str("</body></html>\n");
    page
}

fn name(summary: &Summary, index: usize) -> String {
    if summary.label.is_empty() { format!("{} {}", summary.mode, index + 1) } else { summary.label.clone() }
}

/// `text` as it may stand in a page.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn figures(summaries: &[Summary]) -> String {
    let heads = [
        "run",
        "MB/s",
        "records/s",
        "requests/s",
        "errors",
        "CPU us/request",
        "CPU s/GB",
        "cores",
        "memory MiB",
        "written MB",
        "own cores",
    ];
    let mut rows = Vec::new();
    for (index, summary) in summaries.iter().enumerate() {
        let rates = if summary.produced.requests > 0 { &summary.produced } else { &summary.consumed };
        let mut row = vec![
            name(summary, index),
            format!("{:.1}", rates.bytes_per_s / 1e6),
            format!("{:.0}", rates.records_per_s),
            format!("{:.0}", rates.requests_per_s),
            summary.errors.to_string(),
        ];
        match &summary.broker {
            Some(broker) => row.extend([
                format!("{:.2}", broker.cpu_us_per_request),
                format!("{:.3}", broker.cpu_s_per_gb),
                format!("{:.3}", broker.cores),
                format!("{:.1}", broker.resident_bytes as f64 / f64::from(1 << 20)),
                format!("{:.1}", broker.written_bytes as f64 / 1e6),
            ]),
            None => row.extend((0..5).map(|_| "".to_owned())),
        }
        row.push(format!("{:.3}", summary.client_cores));
        rows.push(row);
    }
    let latencies = latencies(summaries);
    let mut latency_rows = Vec::new();
    for (name, latency) in &latencies {
        let values =
            [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p99_9_ms, latency.p99_99_ms, latency.max_ms];
        let mut row = vec![name.clone()];
        row.extend(values.iter().map(|value| format!("{value:.3}")));
        row.push(latency.count.to_string());
        latency_rows.push(row);
    }
    let latency_heads = ["latency, ms", "p50", "p90", "p99", "p99.9", "p99.99", "max", "count"];
    table(&heads, &rows) + &table(&latency_heads, &latency_rows)
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = "<div class=\"scroll\"><table><tr>".to_owned();
    for head in heads {
        let _ = write!(text, "<th>{}</th>", escape(head));
    }
    text.push_str("</tr>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table></div>\n");
    text
}

fn latencies(summaries: &[Summary]) -> Vec<(String, &Latency)> {
    let each = |(index, summary): (usize, &'_ Summary)| {
        let run = name(summary, index);
        let several = summary.latencies.len() > 1 || summaries.len() == 1;
        summary
            .latencies
            .iter()
            .map(|latency| if several { format!("{run}: {}", latency.name) } else { run.clone() })
            .collect::<Vec<_>>()
    };
    let names: Vec<String> = summaries.iter().enumerate().flat_map(each).collect();
    names.into_iter().zip(summaries.iter().flat_map(|summary| &summary.latencies)).collect()
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

fn by_percentile(summaries: &[Summary]) -> String {
    /// The curve's axis counts nines; what lies beyond 99.99999 % is not told apart.
    const NINES_MAX: f64 = 7.0;
    let nines = |quantile: f64| (-(1.0 - quantile).log10()).clamp(0.0, NINES_MAX);
    let lines = latencies(summaries).into_iter().enumerate().map(|(index, (name, latency))| Line {
        name,
        colour: colour(index),
        points: latency.curve.iter().map(|(quantile, value)| (nines(*quantile), value.max(0.001))).collect(),
    });
    Plot { x: Axis::Nines, y: Axis::Logarithmic("ms"), lines: lines.collect() }.render()
}

fn over_time(summaries: &[Summary], unit: &'static str, figure: impl Fn(&super::summary::Second) -> f64) -> String {
    let lines = summaries.iter().enumerate().map(|(index, summary)| Line {
        name: name(summary, index),
        colour: colour(index),
        points: summary.intervals.iter().enumerate().map(|(at, second)| (at as f64 + 0.5, figure(second))).collect(),
    });
    Plot { x: Axis::Linear("s"), y: Axis::Linear(unit), lines: lines.collect() }.render()
}
