#include "fixture/registry_world.h"

static void a_create_makes_an_object_and_its_seal(void **state)
{
	struct world *w = *state;
	struct outpoint first = {.txid.bytes = {1}, .vout = 7};
	struct object_id id;

	first.txid.bytes[31] = 0xcc;
	make_dnet(w, 5, "office");
	assert_string_equal(w->trace, "+office seal0:1 ");
	object_id_derive(OBJECT_DNET, &first, &id);
	assert_memory_equal(&id, &w->last, sizeof(id));
	assert_int_equal(counts(w).objects, 1);
	assert_int_equal(counts(w).seals, 1);
}

static void the_records_after_a_create_are_of_the_new_object(void **state)
{
	struct record create = dnet_record("o"), node = node_record(1, "a");
	struct world *w = *state;

	write_records(w, 5, coin(w), &create, NULL);
	create = service_record(RECORD_OVC_CREATE, "meet");
	write_records(w, 5, coin(w), &create, NULL);
	assert_string_equal(w->trace, "+meet seal0:1 ");
	create = service_record(RECORD_OVR_CREATE, "r");
	write_records(w, 5, coin(w), &create, &node, NULL);
	assert_string_equal(w->trace, "+r refused35 seal0:1 ");
}

static void an_update_moves_the_seal_and_counts_in_order(void **state)
{
	struct record put = node_record(1, "alice"), del = node_del_record(1);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	seal = write_records(w, 6, seal, &put, NULL);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:1 ");
	seal = write_records(w, 6, seal, &put, NULL);
	assert_string_equal(w->trace, "spent1 gone:NODE_PUT put:NODE_PUT seal2:1 ");
	write_records(w, 7, seal, &del, &del, NULL);
	assert_string_equal(w->trace,
			    "spent2 gone:NODE_PUT revoke:NODE_DEL@3.0 refused36 seal3:1 ");
	assert_int_equal(counts(w).rows, 0);
}

static void a_forged_update_is_refused_and_the_seal_stays(void **state)
{
	struct record put = node_record(1, "mallory"), close = bare_record(RECORD_CLOSE);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	write_records(w, 6, coin(w), &put, NULL);
	assert_string_equal(w->trace, "refused32 ");
	write_records(w, 6, coin(w), &close, NULL);
	assert_string_equal(w->trace, "refused32 ");
	/* a seal that was spent already is no seal */
	write_records(w, 7, seal, &put, NULL);
	write_records(w, 8, seal, &put, NULL);
	assert_string_equal(w->trace, "refused32 ");
	assert_int_equal(counts(w).seals, 1);
}

static void a_second_owner_gets_an_object_of_his_own(void **state)
{
	struct world *w = *state;
	struct object_id first;

	make_dnet(w, 5, "office");
	first = w->last;
	make_dnet(w, 5, "office");
	assert_string_equal(w->trace, "+office seal0:1 ");
	assert_memory_not_equal(&first, &w->last, sizeof(first));
	assert_int_equal(counts(w).objects, 2);
}

static void a_seal_spent_without_a_record_ends_the_object(void **state)
{
	struct record put = node_record(1, "a");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");
	struct made m;

	seal = write_records(w, 6, seal, &put, NULL);
	begin_tx(&m, &seal, 1);
	add_output(&m, owner_script, sizeof(owner_script));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 7, &m), 0);
	assert_string_equal(w->trace, "spent1 gone:NODE_PUT end lost revoke:CLOSE@2.0 ");
	assert_int_equal(counts(w).objects, 0);
	assert_int_equal(counts(w).seals, 0);
	assert_int_equal(counts(w).rows, 0);
}

static void a_seal_at_another_input_is_lost_and_the_create_counts(void **state)
{
	struct record create = dnet_record("other");
	struct world *w = *state;
	struct outpoint inputs[2] = {coin(w), make_dnet(w, 5, "office")};
	uint8_t payload[PAYLOAD_MAX];
	struct writer writer;
	struct made m;

	payload_begin(&writer, payload);
	record_write(&writer, &create);
	begin_tx(&m, inputs, 2);
	add_payload(&m, payload, payload_finish(&writer));
	add_output(&m, owner_script, sizeof(owner_script));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "+other seal0:1 spent0 end lost revoke:CLOSE@1.0 ");
}

static void a_seal_is_lost_at_whatever_other_input_it_is(void **state)
{
	struct world *w = *state;
	struct outpoint inputs[4] = {coin(w), make_dnet(w, 5, "office"), coin(w),
				     make_dnet(w, 5, "lab")};
	struct made m;

	begin_tx(&m, inputs, 4);
	add_output(&m, owner_script, sizeof(owner_script));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "spent0 end lost revoke:CLOSE@1.0 "
				      "spent0 end lost revoke:CLOSE@1.0 ");
	assert_int_equal(counts(w).seals, 0);
}

static void an_output_whose_number_ends_like_the_seals_is_none(void **state)
{
	struct record put = node_record(1, "mallory");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office"), other = seal;

	for (int bit = 8; bit < 32; bit += 8) {
		other.vout = seal.vout + ((uint32_t)1 << bit);
		write_records(w, 6, other, &put, NULL);
		assert_string_equal(w->trace, "refused32 ");
	}
	write_records(w, 6, seal, &put, NULL);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:1 ");
}

static void an_update_without_a_seal_output_ends_the_object(void **state)
{
	struct record put = node_record(1, "a"), create = dnet_record("x");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office"), other = coin(w);
	uint8_t payload[PAYLOAD_MAX];
	struct writer writer;
	struct made m;

	payload_begin(&writer, payload);
	record_write(&writer, &put);
	begin_tx(&m, &seal, 1);
	add_payload(&m, payload, payload_finish(&writer));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "refused33 spent0 end lost revoke:CLOSE@1.0 ");

	payload_begin(&writer, payload);
	record_write(&writer, &create);
	begin_tx(&m, &other, 1);
	add_payload(&m, payload, payload_finish(&writer));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "refused33 ");
}

/* Applies raw payload bytes in carrier (a). */
static struct outpoint write_raw(struct world *w, uint32_t height, struct outpoint spend,
				 const void *payload, size_t len)
{
	struct made m;

	begin_tx(&m, &spend, 1);
	add_payload(&m, payload, len);
	add_output(&m, owner_script, sizeof(owner_script));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, height, &m), 0);
	return (struct outpoint){.txid = m.txid, .vout = 1};
}

static void unknown_versions_and_types_move_the_seal_and_say_nothing(void **state)
{
	static const uint8_t version2[] = {'D', 'N', 2, RECORD_CLOSE, 0};
	static const uint8_t unknown[] = {'D', 'N', 1, 0x7f, 1, 0, RECORD_TRANSFER, 0};
	static const uint8_t overlong[] = {'D', 'N', 1, RECORD_CLOSE, 9};
	static const uint8_t empty[] = {'D', 'N', 1};
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	seal = write_raw(w, 6, seal, version2, sizeof(version2));
	assert_string_equal(w->trace, "spent0 refused2 seal1:1 ");
	seal = write_raw(w, 7, seal, unknown, sizeof(unknown));
	assert_string_equal(w->trace, "spent1 refused5 seal2:1 ");
	seal = write_raw(w, 8, seal, overlong, sizeof(overlong));
	assert_string_equal(w->trace, "spent2 refused4 seal3:1 ");
	write_raw(w, 8, seal, empty, sizeof(empty));
	assert_non_null(strstr(w->trace, "spent3 "));
	assert_non_null(strstr(w->trace, "seal4:1 "));
	write_raw(w, 9, coin(w), version2, sizeof(version2));
	assert_string_equal(w->trace, "refused2 ");
}

static void a_close_ends_everything_after_it(void **state)
{
	struct record put = node_record(1, "a"), close = bare_record(RECORD_CLOSE);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	seal = write_records(w, 6, seal, &put, &close, &put, NULL);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT gone:NODE_PUT end "
				      "revoke:CLOSE@1.1 refused38 ");
	assert_int_equal(counts(w).rows, 0);
	/* its output is an ordinary coin from now on */
	write_records(w, 7, seal, &put, NULL);
	assert_string_equal(w->trace, "refused32 ");
}

static void records_of_another_kind_are_refused(void **state)
{
	struct record put = node_record(1, "a"), transfer = bare_record(RECORD_TRANSFER);
	struct record create = service_record(RECORD_OVC_CREATE, "meet");
	struct record grant = bare_record(RECORD_GRANT), revoke = bare_record(RECORD_REVOKE);
	struct world *w = *state;
	struct outpoint seal = write_records(w, 5, coin(w), &create, NULL);

	seal = write_records(w, 6, seal, &put, NULL);
	assert_string_equal(w->trace, "spent0 refused35 seal1:1 ");
	transfer.transfer.has_admin_key = true;
	seal = write_records(w, 6, seal, &transfer, NULL);
	assert_string_equal(w->trace, "spent1 refused35 seal2:1 ");
	seal = write_records(w, 6, seal, &grant, &revoke, NULL);
	assert_string_equal(w->trace, "spent2 put:GRANT gone:GRANT revoke:REVOKE@3.1 seal3:1 ");
	write_records(w, 7, make_dnet(w, 7, "d"), &grant, NULL);
	assert_string_equal(w->trace, "spent0 refused35 seal1:1 ");
}

static void a_create_in_an_update_is_refused_and_the_rest_counts(void **state)
{
	struct record create = dnet_record("x"), put = bare_record(RECORD_TRANSFER);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	write_records(w, 6, seal, &create, &put, NULL);
	assert_string_equal(w->trace, "spent0 refused34 seal1:1 ");
}

static void a_roster_has_to_be_newer(void **state)
{
	struct record seven = roster_record(7), eight = roster_record(8);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	seal = write_records(w, 6, seal, &seven, NULL);
	assert_string_equal(w->trace, "spent0 put:ROSTER seal1:1 ");
	seal = write_records(w, 7, seal, &seven, NULL);
	assert_string_equal(w->trace, "spent1 refused37 seal2:1 ");
	write_records(w, 7, seal, &eight, &seven, NULL);
	assert_string_equal(w->trace, "spent2 gone:ROSTER put:ROSTER refused37 seal3:1 ");
}

static void a_name_or_address_of_another_node_does_not_stop_the_record(void **state)
{
	struct record first = node_record(1, "same"), second = node_record(2, "same");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	seal = write_records(w, 6, seal, &first, NULL);
	write_records(w, 6, seal, &second, NULL);
	assert_string_equal(w->trace, "spent1 put:NODE_PUT seal2:1 ");
	assert_int_equal(counts(w).rows, 2);
}

static void a_transfer_with_a_key_is_a_row_and_one_without_is_none(void **state)
{
	struct record bare = bare_record(RECORD_TRANSFER), keyed = bare_record(RECORD_TRANSFER);
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");

	keyed.transfer.has_admin_key = true;
	seal = write_records(w, 6, seal, &bare, NULL);
	assert_string_equal(w->trace, "spent0 seal1:1 ");
	seal = write_records(w, 6, seal, &keyed, NULL);
	assert_string_equal(w->trace, "spent1 put:TRANSFER seal2:1 ");
	write_records(w, 7, seal, &keyed, NULL);
	assert_string_equal(w->trace, "spent2 gone:TRANSFER put:TRANSFER seal3:1 ");
}

static void several_payloads_of_one_transaction_count_in_order(void **state)
{
	static const uint8_t put[] = {'D', 'N', 1, RECORD_TRANSFER, 0};
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");
	struct record record = node_record(1, "b");
	uint8_t second[PAYLOAD_MAX];
	struct writer writer;
	struct made m;

	payload_begin(&writer, second);
	record_write(&writer, &record);
	begin_tx(&m, &seal, 1);
	add_payload(&m, put, sizeof(put));
	add_output(&m, owner_script, sizeof(owner_script));
	add_payload(&m, second, payload_finish(&writer));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:1 ");
}

static void a_script_prefix_is_its_own_seal(void **state)
{
	struct record put = node_record(1, "a");
	struct world *w = *state;
	struct outpoint seal = make_dnet(w, 5, "office");
	uint8_t payload[PAYLOAD_MAX], script[200];
	struct span owner = {owner_script, sizeof(owner_script)};
	struct writer writer, s;
	struct made m;

	payload_begin(&writer, payload);
	record_write(&writer, &put);
	writer_init(&s, script, sizeof(script));
	carrier_prefix_script(&s, payload, payload_finish(&writer), owner);
	begin_tx(&m, &seal, 1);
	add_output(&m, owner_script, sizeof(owner_script));
	add_output(&m, script, writer_len(&s));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:1 ");
}

static struct outpoint write_node_form(struct world *w, uint32_t height, struct outpoint spend,
				       const struct object_id *dnet)
{
	struct address ip = {.family = ADDR_V4, .bytes = {10, 0, 0, 1}};
	struct span owner = {owner_script, sizeof(owner_script)};
	struct node_key key = node_record(3, "").node_put.key;
	uint8_t script[200];
	struct writer s;
	struct made m;

	writer_init(&s, script, sizeof(script));
	carrier_node_script(&s, OP_NODE, dnet, &ip, &key, owner);
	begin_tx(&m, &spend, 1);
	add_output(&m, script, writer_len(&s));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, height, &m), 0);
	return (struct outpoint){.txid = m.txid, .vout = 0};
}

static void the_original_form_has_to_name_the_dnet_whose_seal_it_spends(void **state)
{
	struct world *w = *state;
	struct object_id other = {.bytes = {1}}, id;
	struct outpoint seal = make_dnet(w, 5, "office");

	id = w->last;
	seal = write_node_form(w, 6, seal, &id);
	assert_string_equal(w->trace, "spent0 put:NODE_PUT seal1:0 ");
	write_node_form(w, 7, seal, &other);
	assert_string_equal(w->trace, "spent1 refused39 seal2:0 ");
	write_node_form(w, 8, coin(w), &id);
	assert_string_equal(w->trace, "refused32 ");
}

static void a_coinbase_makes_nothing(void **state)
{
	struct record create = dnet_record("mined");
	struct outpoint null = {.vout = UINT32_MAX};
	struct world *w = *state;

	write_records(w, 5, null, &create, NULL);
	assert_string_equal(w->trace, "refused32 ");
}

static void other_transactions_change_nothing(void **state)
{
	struct world *w = *state;
	struct outpoint some = coin(w);
	struct made m;

	make_dnet(w, 5, "office");
	begin_tx(&m, &some, 1);
	add_output(&m, owner_script, sizeof(owner_script));
	end_tx(&m);
	w->trace[0] = '\0';
	assert_int_equal(apply(w, 6, &m), 0);
	assert_string_equal(w->trace, "");
	assert_false(registry_spends_seal(w->registry, &m.view));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_create_makes_an_object_and_its_seal),
		TEST(the_records_after_a_create_are_of_the_new_object),
		TEST(an_update_moves_the_seal_and_counts_in_order),
		TEST(a_forged_update_is_refused_and_the_seal_stays),
		TEST(a_second_owner_gets_an_object_of_his_own),
		TEST(a_seal_spent_without_a_record_ends_the_object),
		TEST(a_seal_at_another_input_is_lost_and_the_create_counts),
		TEST(a_seal_is_lost_at_whatever_other_input_it_is),
		TEST(an_output_whose_number_ends_like_the_seals_is_none),
		TEST(an_update_without_a_seal_output_ends_the_object),
		TEST(unknown_versions_and_types_move_the_seal_and_say_nothing),
		TEST(a_close_ends_everything_after_it),
		TEST(records_of_another_kind_are_refused),
		TEST(a_create_in_an_update_is_refused_and_the_rest_counts),
		TEST(a_roster_has_to_be_newer),
		TEST(a_name_or_address_of_another_node_does_not_stop_the_record),
		TEST(a_transfer_with_a_key_is_a_row_and_one_without_is_none),
		TEST(several_payloads_of_one_transaction_count_in_order),
		TEST(a_script_prefix_is_its_own_seal),
		TEST(the_original_form_has_to_name_the_dnet_whose_seal_it_spends),
		TEST(a_coinbase_makes_nothing),
		TEST(other_transactions_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
