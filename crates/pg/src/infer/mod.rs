//! Types of parameters and results, as far as the statement's text tells.
