//! What the demo plays when a prompt asks for it: what one meets with a real model and cannot order there.

use serde_json::json;

use super::{Scene, Step, shortened};

/// A play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// A long answer, word by word, for about a minute.
    Story,
    /// A question with choices.
    Question,
    /// A command that nobody may run without being asked.
    Permission,
}

/// The words in a prompt that ask for a play.
const PLAYS: [(&str, Play); 3] =
    [("demo:story", Play::Story), ("demo:question", Play::Question), ("demo:permission", Play::Permission)];

/// How the demo tells of its plays.
pub(super) const OFFER: &str = "Write `demo:story` for a long answer, `demo:question` to be asked something, and \
     `demo:permission` to be asked\nfor permission.\n\n";

const STORY: &str = "\
Once there was a program that wanted to be useful. It lived in a container, on a machine that belonged to somebody \
else, and from its window it saw one folder. In the folder lay a project: some files that worked, some that did not, \
and one that nobody had opened for years.\n\n\
Every morning a message came. The program read what it asked for, looked at the files, and changed as little as it \
could. When it was not sure, it asked. When nobody answered, it waited, for waiting costs nothing and a wrong guess does.\n\n\
One night the power failed in the middle of a sentence. In the morning the program found its folder as it had left it, \
the message still in its place, and behind it a second one that had come meanwhile. It began the sentence again, from \
the beginning, and this time it came to the end.\n\n\
The file that nobody had opened turned out to hold a joke. The program did not change it. It wrote a test for it, so \
that nobody else would, either, and went to sleep.\n\n\
Nothing else happened in that folder for a long time, which is the best that can be said of a folder. This was a story \
of mimir's demo, a fixed script and not a model. It is this long so that there is time to kill the gateway, to let \
another message wait behind it, or to stop it.\n";

impl Play {
    /// The one that a prompt asks for.
    pub(super) fn asked_for(prompt: &str) -> Option<Self> {
        PLAYS.into_iter().find(|(word, _)| prompt.contains(word)).map(|(_, play)| play)
    }

    /// What comes next in it.
    pub(super) fn next_step(self, scene: &Scene) -> Step {
        let tool = match self {
            Self::Story => return Step::words(STORY.to_owned()),
            Self::Question => "question",
            Self::Permission => "bash",
        };
        if let Some(done) = scene.done.iter().find(|done| done.tool == tool) {
            let result = shortened(&done.output);
            return Step::words(format!(
                "This is what I was told: {result}\n\nI am mimir's demo, and leave it at that.\n"
            ));
        }
        if !scene.offered.iter().any(|offered| offered == tool) {
            return Step::words(format!(
                "This agent may not use the tool {tool}, so there is nothing to play.\n"
            ));
        }
        let (text, arguments) = match self {
            Self::Question => (
                "Before I go on I have to know something.",
                json!({"questions": [{
                    "header": "Database", "question": "Which database should the project use?", "multiple": false,
                    "options": [
                        {"label": "SQLite", "description": "one file, nothing to install"},
                        {"label": "PostgreSQL", "description": "a server of its own"},
                    ],
                }]}),
            ),
            _ => (
                "Now I would push the branch.",
                json!({"command": "git push origin main", "description": "Pushes the branch main"}),
            ),
        };
        Step { text: text.to_owned(), calls: vec![(tool, arguments)] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Done;
    use super::*;

    fn scene(prompt: &str, offered: &[&str], done: Vec<Done>) -> Scene {
        Scene {
            title_wanted: false,
            folder: "/workspace".into(),
            prompt: prompt.into(),
            offered: offered.iter().map(|&tool| tool.to_owned()).collect(),
            done,
        }
    }

    #[test]
    fn a_story_is_long_and_asks_for_nothing() {
        let step = scene("demo:story please", &["glob", "bash"], Vec::new()).next_step();
        assert!(step.calls.is_empty());
        assert!(step.text.split(' ').count() > 200, "about a minute, four words a second");
    }

    #[test]
    fn a_question_and_a_permission_are_asked_for_once_and_their_answer_is_told() {
        for (prompt, tool) in [("demo:question", "question"), ("demo:permission", "bash")] {
            let asked = scene(prompt, &["glob", tool], Vec::new()).next_step();
            assert_eq!(asked.calls.first().map(|(name, _)| *name), Some(tool));
            let done = Done { tool: tool.into(), path: String::new(), output: "not on a Saturday".into() };
            let told = scene(prompt, &["glob", tool], vec![done]).next_step();
            assert!(told.calls.is_empty() && told.text.contains("not on a Saturday"), "{}", told.text);
            let cannot = scene(prompt, &["glob"], Vec::new()).next_step();
            assert!(cannot.calls.is_empty() && cannot.text.contains(tool), "{}", cannot.text);
        }
    }
}
