import "./visible.test";
import "./markdown.test";
import "./conversation.test";
import "./events.test";
import "./gateway.test";
