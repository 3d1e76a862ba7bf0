-- A folder that the server knows as the same under another name keeps its row, and so what landed of it.
UPDATE folders SET key = %(key)s WHERE id = %(folder_id)s AND key <> %(key)s
