//! What lies over the screen and has the keys: a line to type, a question, a list of commands.

use mimir_model::wire::approvals::ApprovalView;
use ratatui::style::Style;
use ratatui_textarea::{CursorMove, TextArea, WrapMode};

use crate::effect::Effect;

/// One of them.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// All keys.
    Help {
        /// From which line on.
        from: usize,
    },
    /// Which frames are shown.
    Filter(Typed),
    /// Any command.
    Palette {
        /// What stands behind `mimir`.
        typed: Typed,
        /// Which proposal.
        at: usize,
    },
    /// A message for an agent.
    Compose {
        /// Whose.
        frame: String,
        /// In which conversation.
        session: Option<String>,
        /// The words.
        typed: Typed,
    },
    /// Why an agent may not.
    Deny {
        /// Which approval.
        approval: String,
        /// What was asked.
        about: String,
        /// The words.
        typed: Typed,
        /// Whether somebody else, a rule or the time answered meanwhile: what is being typed must not become commands.
        is_settled: bool,
    },
    /// An agent's questions.
    Question(Question),
    /// Something that cannot be taken back.
    Confirm {
        /// What is asked.
        text: String,
        /// What follows from a yes.
        then: Effect,
        /// Since when it is asked (UTC ms).
        since: u64,
    },
    /// A new frame.
    Create(Create),
}

/// Words being typed.
pub type Typed = TextArea<'static>;

/// An empty place for words, or one that begins with some.
pub fn typed(text: &str) -> Typed {
    let mut area = TextArea::new(text.split('\n').map(str::to_owned).collect());
    area.set_cursor_line_style(Style::new());
    area.set_wrap_mode(WrapMode::WordOrGlyph);
    area.move_cursor(CursorMove::Bottom);
    area.move_cursor(CursorMove::End);
    area
}

/// What was typed.
pub fn text_of(area: &Typed) -> String {
    area.lines().join("\n")
}

/// An agent's questions, one after the other.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked.
    pub approval: ApprovalView,
    /// Which question.
    pub at: usize,
    /// Which of its options; behind the last one stands "something else".
    pub cursor: usize,
    /// What was picked for each.
    pub picked: Vec<Vec<String>>,
    /// Words of one's own for this one.
    pub own: Option<Typed>,
    /// Whether something was picked or taken back where several may be: Enter then picks nothing more.
    pub is_touched: bool,
    /// Whether somebody else answered meanwhile.
    pub is_settled: bool,
}

impl Question {
    /// From the first one on.
    pub fn new(approval: ApprovalView) -> Self {
        let picked = vec![Vec::new(); approval.questions.len()];
        Self { approval, at: 0, cursor: 0, picked, own: None, is_touched: false, is_settled: false }
    }

    /// How many lines can be chosen: the options, and "something else".
    pub fn choices(&self) -> usize {
        self.approval.questions.get(self.at).map_or(1, |question| question.options.len() + 1)
    }

    /// Takes the option at the cursor, or takes it back where several may be picked. Says whether the question is answered.
    pub fn pick(&mut self, ends: bool) -> bool {
        let Some(question) = self.approval.questions.get(self.at) else { return true };
        let Some(picked) = self.picked.get_mut(self.at) else { return true };
        let Some(option) = question.options.get(self.cursor) else {
            self.own = Some(typed(""));
            return false;
        };
        if !question.multiple {
            *picked = vec![option.label.clone()];
            return true;
        }
        if ends && self.is_touched {
            return true;
        }
        self.is_touched = true;
        match picked.iter().position(|label| *label == option.label) {
            Some(at) => drop(picked.remove(at)),
            None => picked.push(option.label.clone()),
        }
        ends
    }

    /// Takes words of one's own.
    pub fn say(&mut self, words: String) {
        if let Some(picked) = self.picked.get_mut(self.at) {
            let several = self.approval.questions.get(self.at).is_some_and(|question| question.multiple);
            if !several {
                picked.clear();
            }
            picked.push(words);
        }
        self.is_touched = true;
        self.own = None;
    }

    /// Goes on to the next one. False when all are answered.
    pub fn go_on(&mut self) -> bool {
        self.at += 1;
        self.cursor = 0;
        self.own = None;
        self.is_touched = false;
        self.at < self.approval.questions.len()
    }
}

/// What a new frame is to be.
#[derive(Clone, Debug)]
pub struct Create {
    /// Its name; the folder's when empty.
    pub name: Typed,
    /// Its folder.
    pub workspace: Typed,
    /// What it may reach, as a place in [`Create::NETWORKS`].
    pub network: usize,
    /// Which field has the keys.
    pub field: usize,
}

impl Create {
    /// The words for the network; the first one is what the configuration says.
    pub const NETWORKS: [&'static str; 4] = ["as configured", "sealed", "allow", "open"];
    /// How many fields there are.
    pub const FIELDS: usize = 3;

    /// For that folder.
    pub fn new(folder: &str) -> Self {
        Self { name: typed(""), workspace: typed(folder), network: 0, field: 0 }
    }

    /// What stands behind `mimir`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["frame".to_owned(), "create".to_owned()];
        let name = text_of(&self.name);
        if !name.trim().is_empty() {
            arguments.push(name.trim().to_owned());
        }
        let workspace = text_of(&self.workspace);
        if !workspace.trim().is_empty() {
            arguments.extend(["--workspace".to_owned(), workspace.trim().to_owned()]);
        }
        if self.network > 0 {
            arguments.extend(["--network".to_owned(), Self::NETWORKS[self.network].to_owned()]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::question;

    #[test]
    fn one_of_several_questions_after_the_other_is_answered() {
        let mut asked =
            Question::new(question("blog", &[("Which?", &["a", "b"], false), ("And?", &["c", "d"], true)]));
        assert_eq!(asked.choices(), 3);
        asked.cursor = 1;
        assert!(asked.pick(true));
        assert!(asked.go_on());
        assert!(!asked.pick(false), "of several more may come");
        asked.cursor = 1;
        assert!(!asked.pick(false));
        asked.cursor = 0;
        assert!(!asked.pick(false), "taken back");
        assert!(asked.pick(true), "Enter goes on and picks nothing more");
        assert!(!asked.go_on());
        assert_eq!(asked.picked, [vec!["b".to_owned()], vec!["d".into()]]);
    }

    #[test]
    fn words_of_ones_own_stand_instead_of_an_option() {
        let mut asked = Question::new(question("blog", &[("Which?", &["a"], false)]));
        asked.pick(true);
        asked.cursor = 1;
        assert!(!asked.pick(true));
        assert!(asked.own.is_some());
        asked.say("neither".into());
        assert_eq!(asked.picked, [vec!["neither".to_owned()]]);
    }

    #[test]
    fn a_form_is_the_command_that_does_the_same() {
        let mut form = Create::new("/srv/blog");
        assert_eq!(form.arguments(), ["frame", "create", "--workspace", "/srv/blog"]);
        form.name = typed(" blog ");
        form.network = 1;
        assert_eq!(
            form.arguments(),
            ["frame", "create", "blog", "--workspace", "/srv/blog", "--network", "sealed"]
        );
    }
}
