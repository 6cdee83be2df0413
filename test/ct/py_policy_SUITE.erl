%% SPDX-License-Identifier: Apache-2.0
%% @doc Policies as users write them: what is taken, and which key is to blame.
-module(py_policy_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [levels, wire, limits, grants, wrong, strict_prepares, options, environment].

levels(_) ->
    [begin
         {ok, P} = py_policy:check(Level),
         ?assertEqual(Level, py_policy:level(P)),
         {ok, Q} = py_policy:check(#{level => Level}),
         ?assertEqual(py_policy:wire(P), py_policy:wire(Q))
     end || Level <- py_policy:levels()],
    ?assertEqual(none, py_policy:wire(py_policy:trusted())),
    ?assertEqual(all, py_policy:grants(py_policy:trusted())).

wire(_) ->
    {ok, P} = py_policy:check(#{level => default,
                                allow => [{read, ["/a", <<"/b">>]}, {write, ["/c"]},
                                          {import, ["/d"]}, {net, connect, [443]}, {tmp, 4096},
                                          exec_memory],
                                deny => [threads], preload => [json],
                                require => [own_uid], without => [namespaces],
                                limits => #{memory => 1 bsl 28, cpu_ms => 7, procs => 9}}),
    ?assertMatch(#{level := default, read := [<<"/a">>, <<"/b">>], write := [<<"/c">>],
                   import := [<<"/d">>], connect := [<<"443">>], tmp := 4096,
                   exec_memory := true, preload := [<<"json">>], require := [own_uid],
                   without := [namespaces], memory := 268435456, cpu_ms := 7, procs := 9,
                   diagnose := true}, py_policy:wire(P)),
    ?assertNot(maps:is_key(threads, py_policy:wire(P))),
    ?assertNot(maps:is_key(thread_count, py_policy:wire(P))),
    {ok, Kill} = py_policy:check(#{level => strict, diagnose => false}),
    {ok, Trusted} = py_policy:check(#{level => trusted, limits => #{memory => 1 bsl 28}}),
    [?assertMatch(#{diagnose := false}, py_policy:wire(W)) || W <- [Kill, Trusted]],
    {ok, D} = py_policy:check(default),
    ?assertMatch(#{threads := true, thread_count := 16, require := [seccomp, landlock]},
                 py_policy:wire(D)).

limits(_) ->
    {ok, P} = py_policy:check(#{level => default, limits => #{wall_ms => 7}}),
    ?assertEqual(7, py_policy:limit({wall_ms, P}, infinity)),
    ?assertEqual(16 bsl 20, py_policy:limit({frame_bytes, P}, infinity)),
    ?assertEqual(14, py_policy:limit({cpu_ms, P}, infinity)),
    [?assertMatch(#{wall_ms := Wall, cpu_ms := Cpu, output_bytes := Output},
                  py_policy:limits(element(2, py_policy:check(Level))))
     || {Level, Wall, Cpu, Output} <- [{default, 5000, 10000, 1048576},
                                       {strict, 1000, 2000, 65536}]],
    ?assertEqual(infinity, py_policy:limit({wall_ms, py_policy:trusted()}, infinity)),
    Tmp = fun(Allow, Bytes) ->
                  {ok, Q} = py_policy:check(#{level => default, allow => Allow,
                                              limits => #{fs_bytes => Bytes}}),
                  maps:get(tmp, py_policy:wire(Q))
          end,
    ?assertEqual(4096, Tmp([{tmp, 4096}], 5000)),
    ?assertEqual(4000, Tmp([{tmp, 4096}], 4000)),
    {ok, N} = py_policy:check(trusted),
    ?assertEqual(#{}, py_policy:limits(N)).

grants(_) ->
    {ok, P} = py_policy:check(#{level => strict, allow => [{call, [a, "b"]}, {send, [c]}],
                                limits => #{output_bytes => 9}}),
    ?assertEqual(#{call => [<<"a">>, <<"b">>], send => [c], passed => false, output => 9,
                   fd => true, handles => 1024}, py_policy:grants(P)),
    {ok, Q} = py_policy:check(#{level => default, allow => [{call, all}, {send, passed}],
                                deny => [call, fd], limits => #{handles => 2}}),
    ?assertEqual(#{call => [], send => [], passed => true, output => 1 bsl 20, fd => false,
                   handles => 2}, py_policy:grants(Q)),
    {ok, T} = py_policy:check(#{level => trusted, limits => #{memory => 1}}),
    ?assertEqual(all, py_policy:grants(T)),
    %% What is allowed in two places is allowed together.
    {ok, U} = py_policy:check(#{level => strict,
                                allow => [{call, [f]}, {send, [a]}, {net, connect, [1]},
                                          {call, [g, f]}, {send, [b]}, {net, connect, [2, 1]}]}),
    ?assertMatch(#{call := [<<"f">>, <<"g">>], send := [a, b]}, py_policy:grants(U)),
    ?assertMatch(#{connect := [<<"1">>, <<"2">>]}, py_policy:wire(U)),
    [?assertMatch(#{call := all}, py_policy:grants(element(2, py_policy:check(
         #{level => strict, allow => Calls}))))
     || Calls <- [[{call, all}, {call, [f]}], [{call, [f]}, {call, all}]]].

wrong(_) ->
    [?assertEqual({error, {invalid, Key, Value}}, py_policy:check(Given))
     || {Key, Value, Given} <-
            [{level, paranoid, paranoid}, {level, <<"strict">>, #{level => <<"strict">>}},
             {policy, #{}, #{}}, {policy, 5, 5},
             {policy, <<"x">>, #{level => strict, <<"x">> => 1}},
             {moat, 1, #{level => strict, moat => 1}},
             {allow, x, with(allow, x)}, {allow, everything, with(allow, [everything])},
             {allow, {read, "etc"}, with(allow, [{read, ["etc"]}])},
             {allow, {read, x}, with(allow, [{read, x}])},
             {allow, {write, <<>>}, with(allow, [{write, [<<>>]}])},
             {allow, {tmp, 0}, with(allow, [{tmp, 0}])},
             {allow, {net, connect, [0]}, with(allow, [{net, connect, [0]}])},
             {allow, {net, connect, [65536]}, with(allow, [{net, connect, [65536]}])},
             {allow, {net, bind, [80]}, with(allow, [{net, bind, [80]}])},
             {allow, {call, [1]}, with(allow, [{call, [1]}])},
             {allow, {send, [self()]}, with(allow, [{send, [self()]}])},
             {deny, fork, with(deny, [fork])}, {deny, x, with(deny, x)},
             {limits, [], with(limits, [])}, {limits, cpus, with(limits, #{cpus => 1})},
             {memory, 0, with(limits, #{memory => 0})},
             {memory, infinity, with(limits, #{memory => infinity})},
             {wall_ms, 1 bsl 32, with(limits, #{wall_ms => 1 bsl 32})},
             {frame_bytes, 1, with(limits, #{frame_bytes => 1})},
             {term_depth, 3, with(limits, #{term_depth => 3})},
             {term_depth, 1001, with(limits, #{term_depth => 1001})},
             {procs, 0, with(limits, #{procs => 0})},
             {fs_bytes, 9, with(limits, #{fs_bytes => 9})},
             {fs_bytes, 9, (with(limits, #{fs_bytes => 9}))#{allow => [{tmp, 9},
                                                                       {write, ["/x"]}]}},
             {allow, {send, "x"}, with(allow, [{send, "x"}])},
             {allow, {fd, [5]}, with(allow, [{fd, [5]}])},
             {require, [moat], with(require, [moat])}, {require, x, with(require, x)},
             {without, [x], with(without, [x])},
             {preload, [5], with(preload, [5])}, {preload, x, with(preload, x)},
             {spawn, thread, with(spawn, thread)}, {diagnose, 1, with(diagnose, 1)}]
            ++ [{Key, N, with(limits, #{Key => N})}
                || Key <- [term_words, callbacks, callback_depth, handles, inflight, fs_bytes],
                   N <- [0, -1, 1.0, infinity]]
            ++ [{Key, 1 bsl 32, with(limits, #{Key => 1 bsl 32})}
                || Key <- [term_words, callbacks, callback_depth, handles]]].

with(Key, Value) ->
    #{level => default, Key => Value}.

%% What such a helper imports when it needs it must be there before.
strict_prepares(_) ->
    {ok, P} = py_policy:check(#{level => strict, preload => [decimal]}),
    #{preload := Names} = py_policy:wire(P),
    ?assert(lists:member(<<"traceback">>, Names)),
    ?assertEqual(<<"decimal">>, lists:last(Names)).

options(_) ->
    ?assertEqual({error, {invalid, memory, 0}},
                 py_context:new(#{policy => with(limits, #{memory => 0})})),
    ?assertMatch({ok, #{max_frame := 16777216}}, py_context_opts:context(#{policy => default})),
    ?assertMatch({ok, #{max_frame := 8192}},
                 py_context_opts:context(#{policy => default, max_frame => 8192})),
    ?assertMatch({ok, #{grace_ms := 5}},
                 py_context_opts:context(#{policy => with(limits, #{grace_ms => 5})})),
    ?assertMatch({ok, #{grace_ms := 6}},
                 py_context_opts:context(#{policy => with(limits, #{grace_ms => 5}),
                                           grace_ms => 6})).

environment(_) ->
    ?assertMatch({ok, _}, terrarium_config:validate([{policy, strict}])),
    ?assertEqual({error, {invalid, policy, paranoid}},
                 terrarium_config:validate([{policy, paranoid}])),
    ok = py_ct:start([{contexts, 1}, {policy, default}]),
    ?assertMatch({error, {"PermissionError", _}}, py:eval("__import__('os').fork()")),
    ok = py_ct:stop().
