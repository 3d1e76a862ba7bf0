-- Every tenant has its row of limits and weight from the moment it exists.
CREATE OR REPLACE FUNCTION tenants_lane() RETURNS trigger
LANGUAGE plpgsql SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    INSERT INTO tenant_lanes (tenant_id) VALUES (NEW.id);
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER tenants_lane AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION tenants_lane();
