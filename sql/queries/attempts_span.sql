-- What attempts_export is to read, until the end of the transaction.
SELECT set_config('app.since', %(since)s, true), set_config('app.until', %(until)s, true)
