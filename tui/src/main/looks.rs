//! How the dashboard looks: colours, signs, a theme file.

use std::path::{Path, PathBuf};

use clap::Args;
use plasmon_protocol::error::Error;
use plasmon_tui::view::theme::Theme;
use plasmon_tui::view::theme::depth::{ColorChoice, Depth};
use plasmon_tui::view::theme::file;

use plasmon_tui::command::Failure;

/// The file that is read when none is named, below the user's configuration.
const FILE: &str = "plasmon/theme.toml";

/// How the dashboard looks.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Looks {
    /// How many colours: auto, always, never, 8, 16, 256 or truecolor
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    color: ColorChoice,
    /// Draw with ASCII alone
    #[arg(long)]
    ascii: bool,
    /// A file that says how roles look, such as accent = "#62c6cc" [default: plasmon/theme.toml in the configuration directory]
    #[arg(long, env = "PLASMON_THEME", value_name = "FILE")]
    theme: Option<PathBuf>,
}

/// `XDG_CONFIG_HOME`, or `~/.config`.
fn configuration() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))
}

fn read(path: &Path) -> Result<file::Looks, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::system(format!("read the theme {}", path.display()), error))?;
    file::parse(&text).map_err(|cause| Error::invalid("theme", path.display().to_string(), cause).into())
}

impl Looks {
    /// The theme that is asked for.
    pub(crate) fn theme(&self) -> Result<Theme, Failure> {
        let looks = match &self.theme {
            Some(path) => read(path)?,
            None => match configuration().map(|path| path.join(FILE)).filter(|path| path.exists()) {
                Some(path) => read(&path)?,
                None => file::Looks::new(),
            },
        };
        let depth = Depth::of(self.color, |name| std::env::var(name).ok());
        Ok(Theme::with(depth, looks).ascii(self.ascii))
    }
}
