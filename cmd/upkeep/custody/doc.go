// Package custody looks after the artifacts in the stores of a configuration:
// it reads them, says what retention does with them, proves, drills and
// restores them, and has retention applied. Commands do that in their own
// process and the service does it for those who ask over the API; both are the
// same work, so it stands here once.
//
// It knows nothing of command lines, terminals and HTTP. What a person should
// know meanwhile goes to Options.Out, and errors are api.Problems where they
// are the mistake of who asks.
package custody
