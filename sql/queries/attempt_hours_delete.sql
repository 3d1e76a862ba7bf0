-- Make room for hours that are written anew.
DELETE FROM attempt_hours WHERE hour >= %(since)s AND hour < %(until)s
