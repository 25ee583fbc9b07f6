//! Model providers: who they are, how they answer, what they cost.
