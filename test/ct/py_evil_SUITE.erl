%% SPDX-License-Identifier: Apache-2.0
%% @doc A helper that was taken over does one misdeed at a time (test/progs/evil).
%% After each the caller has a precise error, the helper is dead, and nothing of
%% the VM has changed: `py_evil:guarded/3' looks at memory, atoms, descriptors,
%% ports, processes, the mailbox, and at a context that has nothing to do with it.
-module(py_evil_SUITE).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_group/2,
         end_per_group/2]).
-export([frames/1, answers/1, terms/1, callbacks/1, floods/1, descriptors/1, boot/1, lane/1,
         deadline/1, stolen_id/1, harmless/1, untrusted/1, stories/1, handles/1, queue/1,
         cut_off/1]).

-include_lib("stdlib/include/assert.hrl").
-include("../../erl/port/py_wire.hrl").

-define(MALFORMED, {protocol, <<"malformed data">>}).
-define(EARLY, {protocol, <<"the data ends too early">>}).
-define(REFUSED, {protocol, <<"not permitted here">>}).
-define(LIMIT, {protocol, <<"a limit was exceeded">>}).
-define(DEEP, {protocol, <<"nested too deeply">>}).
-define(NOT_WAITING, {protocol, <<"an answer to a request that is not waiting">>}).
-define(NO_CALLBACK, {protocol, <<"a callback that can not be">>}).
-define(NO_START, {protocol, <<"a request starts or yields that cannot">>}).
-define(UNREAD, {protocol, <<"what it is told is not read">>}).
-define(MANY, {protocol, <<"too many callbacks at once">>}).
-define(VERSION, {protocol, <<"the two sides were built from different wire versions">>}).
-define(SOON, #{timeout => 700}).
-define(MIB, (1 bsl 20)).

suite() -> [{timetrap, {minutes, 8}}].

all() -> [{group, over_lane}, {group, over_socket}, {group, sandboxed}].

groups() ->
    Both = [frames, answers, terms, callbacks, floods, descriptors, boot, deadline, stolen_id,
            harmless, untrusted, stories, handles, queue, cut_off],
    %% What is the same to strangers; what is not is in py_evil_policy_SUITE.
    Strangers = [lane, frames, answers, terms, callbacks, descriptors, boot],
    [{over_lane, [], [lane | Both]}, {over_socket, [], Both}, {sandboxed, [], Strangers}].

init_per_suite(Config) ->
    ok = py_evil:start(Config),
    ok = py_callback:register(<<"f">>, fun(Args) -> Args end),
    Large = binary:copy(<<0>>, 60000),
    ok = py_callback:register(<<"large">>, fun([]) -> Large end),
    ok = file:write_file(filename:join(py_evil:dir(), "bomb"), py_evil:bomb(512 * ?MIB)),
    Config.

end_per_suite(_) ->
    ok = py_evil:stop().

init_per_group(sandboxed, Config) ->
    %% The evil zygote locks up nobody.
    Policy = #{level => default, require => [], allow => [{call, all}],
               limits => #{wall_ms => 60000}},
    [{lane, true}, {policy, Policy} | Config];
init_per_group(Group, Config) ->
    [{lane, Group =:= over_lane}, {policy, trusted} | Config].

end_per_group(_, _) -> ok.

%%% Tables: a misdeed, and what its caller gets

frames(Config) ->
    table(Config,
          [{"zero_field", ?MALFORMED}, {"unknown_opcode", ?MALFORMED},
           {"opcode_of_the_vm", ?MALFORMED}, {"flags_upwards", ?MALFORMED},
           {"body_where_none_is", ?MALFORMED}, {"no_body", ?EARLY},
           {"announce_too_much", ?LIMIT}, {"just_over_the_limit", ?LIMIT},
           {"announce_2g", timeout, #{timeout => 700, max_frame => 16#7FFFFFFF}},
           {"half_a_header", timeout, ?SOON}, {"one_byte_short", timeout, ?SOON},
           {"drip", timeout, ?SOON}, {"dies_in_a_frame", {exit_status, 3}},
           {"noise", ?MALFORMED}, {"deep_while_growing", ?DEEP}]).

answers(Config) ->
    table(Config,
          [{"id_unknown", ?NOT_WAITING}, {"id_zero", ?NOT_WAITING}, {"id_next", ?NOT_WAITING},
           {"guess_ids", ?NOT_WAITING}, {"answer_twice", {ok, 42}},
           {"answer_then_callback", {ok, 42}},
           {"second_hello", {protocol, <<"a second hello">>}}, {"boot_frame_up", ?MALFORMED},
           {"started_unknown", ?NO_START}, {"started_again", ?NO_START},
           {"detached_unasked", ?NOT_WAITING}, {"cancelled_unasked", ?NOT_WAITING},
           {"error_is_none", {protocol, <<"the error can not be decoded">>}},
           {"error_odd_lists", {protocol, <<"the error can not be decoded">>}},
           {"late_answer_twice", timeout, ?SOON}, {"deaf_to_interrupts", timeout, ?SOON}]).

terms(Config) ->
    table(Config,
          [{"etf_" ++ Name, Expected}
           || {Names, Expected} <-
                  [{["compressed", "compressed_bomb", "old_atom", "old_float", "local"], ?REFUSED},
                   {["atom_not_utf8", "atom_surrogate", "cached_atom", "distribution", "nan",
                     "infinity", "unknown_tag", "bits_nine", "bits_none"], ?MALFORMED},
                   {["truncated", "list_of_2g", "map_of_4g", "binary_of_4g", "string_of_64k",
                     "no_bytes_of_bits", "fun"], ?EARLY},
                   {["atom_too_long", "tuple_of_4g", "bignum_of_4g"], ?LIMIT},
                   {["deep"], ?DEEP},
                   {["trailing"], {protocol, <<"bytes remain after the end of the data">>}},
                   {["keys_twice"], {protocol, <<"the answer can not be decoded">>}}],
              Name <- Names]).

callbacks(Config) ->
    table(Config,
          [{"callback_no_question", ?NO_CALLBACK}, {"callback_small_number", ?NO_CALLBACK},
           {"callback_of_another", ?NO_CALLBACK}]).

%% What the VM holds of callbacks, and of answers to them, is bounded by a frame and
%% the backlog; beside that, up to WIRE_UNASKED functions have their values in hand.
floods(Config) ->
    Backlog = #{memory => 2 * ?WIRE_BACKLOG},
    table(Config,
          [{"flood_answers", {ok, 42}}, {"flood_hellos", {protocol, <<"a second hello">>}},
           {"flood_stdout", timeout, ?SOON}, {"flood_stderr", timeout, ?SOON},
           {"flood_line", timeout, ?SOON}, {"flood_sends", timeout, ?SOON},
           {"flood_big_sends", timeout, ?SOON}, {"flood_callbacks", [timeout, ?UNREAD], ?SOON},
           {"flood_big_callbacks", ?UNREAD, Backlog},
           {"flood_unasked", [?MANY, ?UNREAD], Backlog},
           {"flood_big_unasked", [?MANY, ?UNREAD], Backlog},
           {"flood_unread", [?MANY, ?UNREAD], Backlog}, {"never_reads", timeout, ?SOON}]).

descriptors(Config) ->
    table(Config,
          [{"fds_with_answer", {ok, 42}, #{dies => false}},
           {"fds_up_the_hatch", {ok, 42}, #{dies => false}},
           {"shut_write", {signal, sigkill}}, {"shut_both", {signal, sigkill}},
           {"shut_read", {ok, 42}, #{dies => false}},
           {"close_socket", {signal, sigkill}}, {"close_everything", {signal, sigkill}},
           {"exit_zero", {exit_status, 0}}, {"abort_now", {signal, sigkill}},
           {"leave_a_child", {exit_status, 5}}]).

boot(Config) ->
    No = {protocol, <<"the hello is no control message">>},
    table(Config,
          [{"boot_exit", {exit_status, 7}}, {"boot_killed", {signal, sigkill}},
           {"boot_silence", start_timeout}, {"boot_close", {signal, sigkill}},
           {"boot_wrong_fingerprint", ?VERSION}, {"boot_wrong_version", ?VERSION},
           {"boot_answer", {protocol, <<"the first frame is no hello">>}},
           {"boot_noise", ?MALFORMED}, {"boot_hello_no_map", No},
           {"boot_hello_too_long", ?LIMIT}, {"boot_hello_deep", No},
           {"boot_hello_key_twice", {protocol, <<"the hello is malformed">>}},
           {"boot_hello_inner_twice", No}, {"boot_hello_odd_key", No},
           {"boot_hello_extension", No}, {"boot_hello_python", {ok, 42}, #{dies => false}},
           {"boot_error_flood", {boot_failed, {"E", "m"}}},
           {"boot_error_is_none", {boot_failed, unknown}},
           {"boot_answer_unasked", ?NOT_WAITING}]).

lane(Config) ->
    table(Config,
          [{Name, ?MALFORMED}
           || Name <- ["head_back", "head_beyond", "head_odd", "head_far", "record_too_long",
                       "record_of_4g", "record_unknown_kind", "marker_of_nothing",
                       "markers_for_ever", "bulk_unmarked", "item_unknown", "punch"]]
          ++ [{"marker_of_4g", timeout, ?SOON}, {"bells", timeout, ?SOON},
              {"tail_beyond", {ok, 42}, #{dies => false}},
              {"tail_back", {ok, 42}, #{dies => false}},
              {"resize", {ok, 42}, #{dies => false}},
              {"asleep_lies", {ok, 42}, #{dies => false}},
              {"change_while_read", [?REFUSED, ?EARLY, {ok, 42}], #{dies => false}},
              {"scribble", any_protocol, #{timeout => 5000}}]).

%% Odd, but within the rules: the answer is what it is, and nobody is killed.
harmless(Config) ->
    Alive = #{dies => false},
    table(Config,
          [{"honest", {ok, 42}, Alive}, {"etf_bignum_sign", {ok, -1}, Alive},
           {"etf_new_atom", ?EARLY},
           {"etf_many_atoms", {unknown_atom, <<"evil_000000000">>}, Alive},
           {"etf_large_bignum", any_ok, Alive},
           {"callback_odd_terms", {ok, 42}, Alive}, {"send_no_pair", {ok, 42}, Alive},
           {"late_answer", timeout, Alive#{timeout => 700}},
           {"etf_wide_tuple", any_ok, Alive#{memory => 16 * ?MIB}},
           %% A byte of a string is a cell of a list: what is decoded is larger than
           %% the frame, at most by this factor.
           {"etf_strings", any_ok, Alive#{memory => 3 * 16 * ?MIB}}]).

%% A frame that was begun ends in time, also if its caller waits for ever.
deadline(Config) ->
    table(Config,
          [{"one_byte_short", {protocol, <<"a frame begun did not end in time">>},
            #{timeout => infinity}}]).

table(Config, Rows) ->
    Usual = maps:from_list([{Key, proplists:get_value(Key, Config)} || Key <- [lane, policy]]),
    [ok = row(Name, held(Usual, Name, Expected), maps:merge(Usual, Options))
     || {Name, Expected, Options} <- [with_options(Row) || Row <- Rows]],
    ok.

%% Of strangers the limits of their policy come first.
held(#{policy := #{}}, "announce_2g", timeout) -> ?LIMIT;
held(#{policy := #{}}, "etf_list_of_2g", ?EARLY) -> {limit, term_words};
held(#{policy := #{}}, "etf_map_of_4g", ?EARLY) -> {limit, term_words};
held(#{policy := #{}}, "etf_binary_of_4g", ?EARLY) -> {limit, term_words};
held(#{policy := #{}}, "etf_no_bytes_of_bits", ?EARLY) -> {limit, term_words};
held(#{policy := #{}}, "etf_fun", ?EARLY) -> ?REFUSED;
held(_, _, Expected) -> Expected.

with_options({Name, Expected}) -> {Name, Expected, #{}};
with_options(Row) -> Row.

row(Name, Expected, Options) ->
    case is_as(py_evil:deed(Name, Options), Expected) of
        true -> ok;
        Result -> ct:fail({Name, {expected, Expected}, Result})
    end.

is_as(Result, Many) when is_list(Many) ->
    lists:any(fun(One) -> is_as(Result, One) =:= true end, Many) orelse Result;
is_as({ok, _}, any_ok) -> true;
is_as({error, {protocol, Text}}, any_protocol) when is_binary(Text) -> true;
is_as({error, timeout}, any_protocol) -> true;
is_as({error, {crashed, #{exit_status := N}}}, {exit_status, N}) -> true;
is_as({error, {crashed, #{signal := S}}}, {signal, S}) -> true;
is_as({error, Reason}, Reason) -> true;
is_as({ok, Value}, {ok, Value}) -> true;
is_as(Result, _) -> Result.

%%% Cases of their own

%% A helper that learns the id of another context's request can not answer it.
stolen_id(Config) ->
    Options = #{lane => proplists:get_value(lane, Config)},
    Steal = fun() ->
                    {ok, Victim} = py_evil:new("victim", Options),
                    {ok, Thief} = py_evil:new("steal_id", Options),
                    Results = py_ct:parallel(2, fun(1) -> py_evil:ask(Victim, 20000);
                                                   (2) -> stealing(Thief)
                                                end),
                    ok = py_context:stop(Victim),
                    ok = py_context:stop(Thief),
                    Results
            end,
    [{ok, 42}, {error, ?NOT_WAITING}] = py_evil:guarded("stolen_id", #{}, Steal),
    ok.

%% The victim answers once the file with its id is gone.
stealing(Thief) ->
    Result = py_evil:ask(Thief, 20000),
    ok = file:delete(filename:join(py_evil:dir(), "id")),
    Result.

%% Without leave for it, identifiers and functions are a violation.
untrusted(Config) ->
    [?REFUSED = at_the_port(Name, proplists:get_value(lane, Config))
     || Name <- ["etf_pid", "etf_port", "etf_reference", "etf_export", "forged_ref",
                 "forged_shm"]],
    ok.

at_the_port(Name, Lane) ->
    py_evil:guarded(Name, #{}, fun() -> closed_by(Name, Lane) end).

closed_by(Name, Lane) ->
    Boot = #{name => list_to_binary(Name), lane => Lane},
    {ok, Runtime, Ref} = py_runtime:spawn_helper(evil, #{boot => Boot}),
    {py_helper, Ref, {spawned, Job, _, Token, Zygote, _}} = next(),
    {ok, Port} = py_port:take_helper(Zygote, Token, Lane, 0),
    ok = py_runtime:adopted(Runtime, Job, none),
    ok = py_port:settings(Port, #{grace_ms => 200, deadline_ms => 5000, max_frame => ?MIB,
                                  max_depth => 1000, spin_us => 20}, #{}),
    {Port, {hello, _}} = next(),
    Ask = fun() ->
                  py_request:request(Port, ?FRAME_EVAL, 0, {<<"1">>, #{}}, 20000, {?MIB, 200})
          end,
    {_, Mon} = spawn_monitor(Ask),
    {Port, {closed, What}} = next(),
    {py_helper, Ref, {exited, #{<<"signal">> := 9}}} = next(),
    ok = py_port:fail(Port, What),
    {'DOWN', Mon, process, _, normal} = next(),
    true = demonitor(Ref, [flush]),
    ok = py_port:close(Port),
    receive {'EXIT', Port, _} -> What after 0 -> What end.

next() ->
    receive Message -> Message after 20000 -> ct:fail(nothing_comes) end.

%% The story of an error is a binary to the driver; nobody may unfold a bomb in it.
stories(Config) ->
    Lane = #{lane => proplists:get_value(lane, Config), dies => false},
    Ask = fun(Context, _) ->
                  {error, {"E", "m"}} = py_evil:ask(Context, 20000),
                  #{type := <<"unknown">>} = py:last_error(),
                  py_context:eval(Context, <<"1">>, #{}, #{errors => map})
          end,
    {error, #{type := <<"unknown">>}} = py_evil:deed("error_story_bomb", Lane, Ask),
    ok.

%% It dies at each byte of an answer: nobody gets a part of it.
cut_off(Config) ->
    Options = #{lane => proplists:get_value(lane, Config), max_frame => ?MIB},
    Whole = ?WIRE_HEADER_SIZE + 200,
    [{error, {crashed, #{exit_status := 3}}} = dies_after(Options, N)
     || N <- lists:seq(0, Whole - 1)],
    ok.

dies_after(Options, N) ->
    ok = file:write_file(filename:join(py_evil:dir(), "cut"), integer_to_list(N)),
    {ok, Context} = py_evil:new("cut_off", Options),
    Result = py_evil:ask(Context, 20000),
    ok = py_context:stop(Context),
    Result.

%% Handles that nobody gave out are good for nothing.
handles(Config) ->
    Lane = #{lane => proplists:get_value(lane, Config), dies => false},
    Ref = fun(Context, _) ->
                  {ok, Forged} = py_evil:ask(Context, 20000),
                  [{error, _} = py_context:to_term(Forged),
                   {error, _} = py_context:getattr(Context, Forged, <<"x">>),
                   {error, _} = py_context:call(py_evil:bystander(), builtins, repr, [Forged])]
          end,
    [_, _, _] = py_evil:deed("forged_ref", Lane, Ref),
    Shm = fun(Context, _) ->
                  {ok, Forged} = py_evil:ask(Context, 20000),
                  [{error, _} = py_shm:to_binary(Forged),
                   {error, _} = py_context:call(py_evil:bystander(), builtins, bytes, [Forged])]
          end,
    [_, _] = py_evil:deed("forged_shm", Lane, Shm),
    [{error, {protocol, <<"no reference in the answer">>}} =
         py_evil:deed(Name, Lane#{dies => true}, fun reference/2)
     || Name <- ["number_negative", "number_huge", "number_none"]],
    ok.

reference(Context, Timeout) ->
    py_context:eval(Context, <<"1">>, #{}, #{return => ref, timeout => Timeout}).

%% Many callers of a helper that never reads: they wait, the VM's queue is bounded.
queue(Config) ->
    Options = #{lane => proplists:get_value(lane, Config), memory => 32 * ?MIB},
    Code = binary:copy(<<" ">>, 200000),
    Ask = fun(Context, _) ->
                  lists:usort(py_ct:parallel(60, fun(_) ->
                                                         py_context:eval(Context, Code, #{}, 1500)
                                                 end))
          end,
    Results = py_evil:deed("never_reads", Options, Ask),
    ?assertEqual([], [R || R <- Results, not is_given_up(R)]),
    ok.

is_given_up({error, timeout}) -> true;
is_given_up({error, {crashed, #{reason := timeout}}}) -> true;
is_given_up(_) -> false.
