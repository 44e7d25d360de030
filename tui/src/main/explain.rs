//! `plasmon explain`: why something waits.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use plasmon_protocol::error::Error;
use plasmon_protocol::explain::{Explanation, MAX_NAME, Subject};

use plasmon_tui::command::{Failure, Found, Target};

/// `plasmon explain`
#[derive(Args, Clone, Debug)]
pub(crate) struct Explain {
    /// A task, object or actor: its id or the id's beginning or end, an actor's name, or pid:NUMBER [default: all that waits]
    #[arg(value_name = "TASK|OBJECT|ACTOR")]
    name: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print again every second, until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

pub(crate) fn run(found: &Found, what: &Explain) -> Result<(), Failure> {
    let subject = match &what.name {
        None => Subject::Everything,
        Some(name) if name.len() > MAX_NAME => {
            return Err(
                Error::invalid("name", format!("of {} bytes", name.len()), format!("at most {MAX_NAME} bytes name something")).into()
            );
        }
        Some(name) => Subject::Named(name.clone()),
    };
    loop {
        let (explanation, now_ms) = plasmon_tui::fetch_explanation(&found.url, found.token.as_deref(), &subject)?;
        let explanation = explanation.ok_or_else(|| unknown(what.name.as_deref().unwrap_or_default()))?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        match print(&mut out, what, &explanation, now_ms).and_then(|()| out.flush()) {
            // Whoever read has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Error::system("write the explanation", error).into()),
            Ok(()) if what.watch => std::thread::sleep(Duration::from_secs(1)),
            Ok(()) => return Ok(()),
        }
    }
}

fn print(out: &mut impl Write, what: &Explain, explanation: &Explanation, now_ms: u64) -> std::io::Result<()> {
    if what.json {
        serde_json::to_writer_pretty(&mut *out, explanation).map_err(std::io::Error::from)?;
        return writeln!(out);
    }
    if what.watch && crate::can_be_drawn_on() {
        // From the top of the screen, as `watch` does it.
        write!(out, "\x1b[H\x1b[2J")?;
    }
    if explanation.answers.is_empty() {
        return writeln!(out, "nothing waits: every task runs, and every get has its value");
    }
    out.write_all(explanation.text(now_ms).as_bytes())
}

fn unknown(name: &str) -> Failure {
    Failure {
        message: format!("there is no task, object, actor or process '{}' on this node", name.escape_debug()),
        hint: "ids are in `plasmon memory --json` and in the dashboard (y copies one); their last ten digits are enough. \
               `plasmon explain` alone tells all that waits"
            .to_owned(),
    }
}
