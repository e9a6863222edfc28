package alert

// MaxTurns is how many requests are taken at once.
const MaxTurns = maxTurns
