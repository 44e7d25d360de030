//! How many colours a terminal has, and what becomes of a colour that it has not.

use ratatui::style::Color;

/// Colours that can be shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    /// None: bold, dim, underlined and reversed alone.
    None,
    /// The eight ANSI names.
    Ansi8,
    /// These and their bright ones.
    Ansi16,
    /// The palette of 256.
    Ansi256,
    /// 24 bits each.
    True,
}

/// What `--color` takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ColorChoice {
    /// As the environment tells.
    #[default]
    Auto,
    /// This many, whatever it tells.
    Exactly(Depth),
    /// As many as the environment tells, though `NO_COLOR` is set.
    Always,
}

impl ColorChoice {
    /// The words that `--color` takes.
    pub const WORDS: [&str; 7] = ["auto", "always", "never", "8", "16", "256", "truecolor"];
}

impl std::str::FromStr for ColorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" => Self::Auto,
            "always" => Self::Always,
            "never" => Self::Exactly(Depth::None),
            "8" => Self::Exactly(Depth::Ansi8),
            "16" => Self::Exactly(Depth::Ansi16),
            "256" => Self::Exactly(Depth::Ansi256),
            "truecolor" => Self::Exactly(Depth::True),
            _ => return Err(format!("it is one of {}", Self::WORDS.join(", "))),
        })
    }
}

impl Depth {
    /// What is asked for, where these variables are set as `variable` tells: `NO_COLOR` <https://no-color.org>, `COLORTERM`, `TERM`.
    #[must_use]
    pub fn of(choice: ColorChoice, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let told = || {
            let term = set("TERM").unwrap_or_default();
            match set("COLORTERM").as_deref() {
                Some("truecolor" | "24bit") => Self::True,
                _ if term.contains("direct") => Self::True,
                _ if term.contains("256color") => Self::Ansi256,
                _ if term == "linux" || term == "vt220" || term.ends_with("-8color") => Self::Ansi8,
                _ => Self::Ansi16,
            }
        };
        match choice {
            ColorChoice::Exactly(depth) => depth,
            ColorChoice::Always => told(),
            ColorChoice::Auto if set("NO_COLOR").is_some() => Self::None,
            ColorChoice::Auto => told(),
        }
    }

    /// The nearest colour that can be shown.
    #[must_use]
    pub fn nearest(self, color: Color) -> Color {
        match self {
            Self::None => Color::Reset,
            Self::True => color,
            Self::Ansi256 => match color {
                Color::Rgb(red, green, blue) => Color::Indexed(indexed(red, green, blue)),
                other => other,
            },
            Self::Ansi16 => named(color, &NAMES),
            Self::Ansi8 => named(color, &NAMES[..8]),
        }
    }
}

/// The ANSI names and what xterm shows for them.
const NAMES: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

/// The steps of the palette's cube.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

fn apart(one: [u8; 3], other: [u8; 3]) -> u32 {
    one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
}

/// The nearest of the palette's cube and of its greys.
fn indexed(red: u8, green: u8, blue: u8) -> u8 {
    let wanted = [red, green, blue];
    (16..=255).min_by_key(|index| apart(rgb(*index), wanted)).unwrap_or(16)
}

/// What a colour of the palette of 256 is: <https://en.wikipedia.org/wiki/ANSI_escape_code#8-bit>.
fn rgb(index: u8) -> [u8; 3] {
    match index {
        0..16 => NAMES[usize::from(index)].1,
        16..232 => {
            let cube = index - 16;
            [cube / 36, cube / 6 % 6, cube % 6].map(|step| STEPS[usize::from(step)])
        }
        _ => [8 + 10 * (index - 232); 3],
    }
}

fn named(color: Color, names: &[(Color, [u8; 3])]) -> Color {
    let wanted = match color {
        Color::Reset => return Color::Reset,
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Indexed(index) => rgb(index),
        name => match names.iter().find(|(known, _)| *known == name) {
            Some(_) => return name,
            // A bright name is its dark one where there are no bright ones; grey is a dark white.
            None => match NAMES.iter().position(|(known, _)| *known == name) {
                Some(8) => return Color::Gray,
                Some(at) => return names[at % 8].0,
                None => return Color::Reset,
            },
        },
    };
    names.iter().min_by_key(|(_, known)| apart(*known, wanted)).map_or(Color::Reset, |(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(choice: &str, variables: &[(&str, &str)]) -> Depth {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Depth::of(choice.parse().unwrap(), variable)
    }

    #[test]
    fn the_environment_decides_and_the_flag_overrules_it() {
        assert_eq!(depth("auto", &[]), Depth::Ansi16);
        assert_eq!(depth("auto", &[("TERM", "xterm-256color")]), Depth::Ansi256);
        assert_eq!(depth("auto", &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(depth("auto", &[("TERM", "linux")]), Depth::Ansi8);
        assert_eq!(depth("auto", &[("NO_COLOR", "1"), ("COLORTERM", "truecolor")]), Depth::None);
        assert_eq!(depth("auto", &[("NO_COLOR", "")]), Depth::Ansi16);
        assert_eq!(depth("always", &[("NO_COLOR", "1"), ("TERM", "xterm-256color")]), Depth::Ansi256);
        assert_eq!(depth("never", &[("COLORTERM", "truecolor")]), Depth::None);
        assert_eq!(depth("8", &[("COLORTERM", "truecolor")]), Depth::Ansi8);
        assert!("many".parse::<ColorChoice>().is_err());
    }

    #[test]
    fn a_colour_that_is_not_there_is_the_nearest_that_is() {
        let orange = Color::Rgb(255, 135, 0);
        assert_eq!(Depth::True.nearest(orange), orange);
        assert_eq!(Depth::Ansi256.nearest(orange), Color::Indexed(208));
        assert!(matches!(Depth::Ansi16.nearest(orange), Color::Yellow | Color::LightRed | Color::LightYellow));
        assert!(matches!(Depth::Ansi8.nearest(orange), Color::Yellow | Color::Red));
        assert_eq!(Depth::Ansi8.nearest(Color::LightCyan), Color::Cyan);
        assert_eq!(Depth::Ansi8.nearest(Color::DarkGray), Color::Gray);
        assert_eq!(Depth::None.nearest(orange), Color::Reset);
        for depth in [Depth::Ansi8, Depth::Ansi16, Depth::Ansi256, Depth::True] {
            assert_eq!(depth.nearest(Color::Reset), Color::Reset);
            assert_eq!(depth.nearest(Color::Cyan), Color::Cyan);
        }
    }
}
