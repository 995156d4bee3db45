-- Run once, when PostgreSQL makes its data folder. Prefect's own database is POSTGRES_DB.
CREATE DATABASE lipsync;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
