package ledger

import "time"

// processBegan is where the monotonic clock of this process begins to count
// where the system has no better one.
var processBegan = time.Now()
