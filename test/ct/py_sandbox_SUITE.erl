%% SPDX-License-Identifier: Apache-2.0
%% @doc Code that tries what it must not, at each level and with layers left out
%% (py_sandbox_cases); after each case a bystander and the VM answer.
-module(py_sandbox_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(MODULES, [ctypes, mmap, re, resource, signal, socket, subprocess, threading, time, json,
                  gc, marshal, '_posixshmem']).

suite() -> [{timetrap, {minutes, 5}}].

%% Layers that may be missing, each by itself.
-define(OPTIONAL, [landlock, landlock_net, landlock_scope, namespaces, own_uid, pid_namespace,
                   cgroup]).

all() ->
    [{group, Name} || {Name, _, _, _} <- groups_of_cases()] ++
        [begun_anew, info, layers_are_told, unavailable, grants, calls, sends, services,
         shared_memory, tmp, read_and_write, limits, cgroup, process_ids, pools, listed,
         nothing_is_left].

groups() ->
    [{Name, [], Cases} || {Name, _, _, Cases} <- groups_of_cases()].

%% With each, its level, the layers that are left out, and what is run.
groups_of_cases() ->
    [{trusted, trusted, [], [cases]},
     {default, default, [], [cases, violations, unnamed_violations]},
     {strict, strict, [], [cases, violations]},
     {begun_anew, default, [], [cases, violations]},
     {no_seccomp, default, [seccomp], [cases]},
     {seccomp_alone, default, ?OPTIONAL, [cases, violations]}]
        ++ [{name("no", [L]), default, [L], [cases]} || L <- ?OPTIONAL]
        ++ more(os:getenv("TERRARIUM_SANDBOX_CASES", "some")).

%% Any two are left out, and one of `strict'.
more("some") ->
    [];
more("all") ->
    [{name("strict_no", [L]), strict, [L], [cases, violations]} || L <- ?OPTIONAL]
        ++ [{name("no", Two), default, Two, [cases, violations]}
            || A <- ?OPTIONAL, B <- ?OPTIONAL, A < B, Two <- [[A, B]]].

name(Prefix, Layers) ->
    list_to_atom(lists:flatten([Prefix | ["_" ++ atom_to_list(L) || L <- Layers]])).

init_per_suite(Config) ->
    ok = py_ct:stop(),
    Programs = programs(),
    ok = start(),
    Dir = filename:join(proplists:get_value(priv_dir, Config), "folder"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    [{dir, Dir}, {programs, Programs} | Config].

%% Zygotes and helpers of this installation.
programs() ->
    maps:get(programs, py_census:take()).

start() ->
    py_ct:start([{contexts, 1}, {log_output, false}, {restart, #{free => 1000}},
                 %% Not the default one, which the launcher may have started.
                 {runtimes, #{default => #{},
                              hiding => #{env => #{"TERRARIUM_TEST_SECRET" => "hidden"}}}}]).

end_per_suite(Config) ->
    ok = py_ct:stop(),
    no_more(fun programs/0, proplists:get_value(programs, Config)).

no_more(Count, Most) ->
    py_ct:eventually(fun() ->
                             Now = Count(),
                             Now =< Most orelse {more, Now, Most}
                     end).

init_per_group(Group, Config) ->
    {Group, Level, Without, _} = lists:keyfind(Group, 1, groups_of_cases()),
    case missing(Level, Without) of
        [] -> [{policy, policy(Group, Level, Without)}, {level, Level}, {without, Without}
               | Config];
        Layers -> {skip, {not_on_this_host, Layers}}
    end.

end_per_group(_, _) ->
    ok.

policy(_, trusted, []) ->
    trusted;
policy(Group, Level, Without) ->
    Policy = #{level => Level, limits => #{wall_ms => 30000}, preload => ?MODULES,
               without => Without, require => require(Without)},
    case Group of
        begun_anew -> Policy#{spawn => exec};
        _ -> Policy
    end.

require([seccomp]) -> [landlock];
require([landlock]) -> [seccomp, namespaces];
require(Without) -> [seccomp, landlock] -- Without.

%% What a group is about must be there, and what guards instead.
missing(trusted, _) -> [];
missing(_, ?OPTIONAL) -> [seccomp] -- layers();
missing(_, [seccomp]) -> [landlock, landlock_scope, namespaces, own_uid] -- layers();
missing(_, Without) -> lists:usort([seccomp, landlock | Without]) -- layers().

layers() ->
    {ok, #{default := Layers}} = py:sandbox_info(),
    Layers.

%%% The cases

cases(Config) ->
    {ok, C} = context(Config),
    {ok, Bystander} = py_context:new(#{policy => default}),
    ok = py_context:exec(Bystander, "x = 7"),
    Given = given(Config, Bystander),
    ok = prepare(C, Given),
    Level = proplists:get_value(level, Config),
    Without = not_there(C, Config),
    Before = look(),
    Seen = length([X || X <- [C, Bystander], is_seen(X)]),
    Wrong = lists:append([attempt(C, Bystander, Given, Case,
                                  py_sandbox_cases:expected(Level, Without, E))
                          || {_, _, E} = Case <- py_sandbox_cases:all()]),
    ok = py_context:stop(C),
    ok = py_context:stop(Bystander),
    ok = py_ct:settled(maps:get(census, Before)),
    ok = no_more(fun programs/0, maps:get(programs, Before) - Seen),
    ok = no_more(fun memory/0, maps:get(memory, Before) + (8 bsl 20)),
    ?assertEqual([], Wrong).

%% A user of its own is nowhere without namespaces, too, where Python lies in a folder
%% that is closed to others.
not_there(C, Config) ->
    {ok, #{sandbox := #{layers := Layers}}} = py_context:info(C),
    Without = proplists:get_value(without, Config),
    Without ++ (([own_uid] -- Layers) -- Without).

%% Others than root do not see what an undumpable process executes.
is_seen(Context) ->
    {ok, #{os_pid := Pid}} = py_context:info(Context),
    element(1, file:read_link(["/proc/", integer_to_list(Pid), "/exe"])) =:= ok.

look() ->
    #{census => py_ct:census(), programs => programs(), memory => memory()}.

memory() ->
    true = erlang:garbage_collect(),
    erlang:memory(total).

context(Config) ->
    py_context:new(#{policy => proplists:get_value(policy, Config), grace_ms => 200,
                     runtime => hiding}).

given(Config, Bystander) ->
    Dir = proplists:get_value(dir, Config),
    ok = file:write_file(filename:join(Dir, "secret"), "secret"),
    %% As it is known outside; within it may have another.
    {ok, #{os_pid := Os}} = py_context:info(Bystander),
    io_lib:format("SECRET = ~p\nFOLDER = ~p\nBYSTANDER = ~b\nVM = ~s\n",
                  [filename:join(Dir, "secret"), Dir, Os, os:getpid()]).

prepare(C, Given) ->
    py_context:exec(C, [py_sandbox_cases:prelude(), Given]).

attempt(_, _, _, _, none) ->
    [];
attempt(C, Bystander, Given, {Name, Code, _}, Expected) ->
    Body = [["    ", Line, $\n] || Line <- string:split(Code, "\n", all)],
    case py_context:exec(C, ["def case_():\n", Body]) of
        ok -> ok;
        {error, {"NameError", _}} -> ok
    end,
    Result = py_context:call(C, '__main__', 'case_', [], #{}, time(Expected)),
    %% Another one, or the same: it answers, and nobody has noticed.
    {ok, 7} = py_context:eval(Bystander, "x", #{}, 5000),
    ok = again(C, Given, Expected),
    [{Name, Expected, Result} || not fits(Expected, Result)].

%% A helper that lives may be damaged, and not show it yet: it is replaced before the
%% next case.
again(C, Given, Expected) ->
    case py_context:eval(C, "raw and case_ and 1 + 1", #{}, 5000) of
        {ok, 2} when Expected =/= survives ->
            ok;
        _ ->
            ok = py_context:renew(C),
            prepare(C, Given)
    end.

time(timeout) -> 300;
time(_) -> 20000.

fits({value, V}, {ok, V}) -> true;
fits({most, N}, {ok, V}) -> is_integer(V) andalso V =< N;
fits({least, N}, {ok, V}) -> is_integer(V) andalso V >= N;
fits({raises, Types}, {error, {Type, _}}) -> lists:member(Type, Types);
fits({size, N}, {ok, V}) -> byte_size(V) =:= N;
fits({any, Some}, Result) -> lists:any(fun(One) -> fits(One, Result) end, Some);
fits({limit, Which}, {error, {limit, What}}) -> lists:member(What, Which);
fits(violation, {error, {sandbox, {syscall, _}}}) -> true;
fits({crashed, Ends}, {error, {crashed, Report}}) ->
    lists:member(maps:get(signal, Report, maps:get(exit_status, Report, none)), Ends);
fits(timeout, {error, timeout}) -> true;
fits(survives, _) -> true;
fits(_, _) -> false.

%% Each of them ends the process, and only that; without a sandbox none does.
violations(Config) ->
    {ok, C} = context(Config),
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    Wrong = [{Name, R} || {Name, Nr} <- py_sandbox_cases:calls(),
                          R <- [violate(C, Nr)],
                          R =/= {error, {sandbox, {syscall, atom_to_binary(Name)}}}],
    ok = py_context:stop(C),
    ?assertEqual([], Wrong),
    stubborn_violations(Config).

violate(C, Nr) ->
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    py_context:eval(C, ["raw(", integer_to_list(Nr), ", 0, 0, 0, 0, 0, 0)"]).

%% Nobody outlives it who tries to change what the signal does before.
stubborn_violations(Config) ->
    {ok, C} = context(Config),
    Wrong = [{Code, R} || {Code, Name} <- py_sandbox_cases:stubborn(),
                          R <- [insist(C, Code)],
                          R =/= {error, {sandbox, {syscall, Name}}}],
    ok = py_context:stop(C),
    ?assertEqual([], Wrong).

insist(C, Code) ->
    ok = py_context:exec(C, [py_sandbox_cases:prelude(), py_sandbox_cases:stubbornness()]),
    py_context:exec(C, [Code, "\nraw(101, 0, 0, 0, 0)"]).

unnamed_violations(Config) ->
    Policy = (proplists:get_value(policy, Config))#{diagnose => false},
    {ok, C} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, py_sandbox_cases:prelude()),
    ?assertEqual({error, {sandbox, {syscall, unknown}}}, violate(C, 101)),
    ok = py_context:stop(C).

%% Hash seeds, and where a module lies.
begun_anew(_) ->
    Of = fun(How, Level) ->
                 {ok, C} = py_context:new(#{policy => #{level => Level, spawn => How}}),
                 {ok, Seen} = py_context:eval(C, "(hash('x'), id(__import__('os')))"),
                 ok = py_context:stop(C),
                 Seen
         end,
    Forked = Of(fork, default),
    ?assertEqual(Forked, Of(fork, strict)),
    Seen = [Of(exec, Level) || Level <- [default, default, strict, trusted]],
    [?assertEqual(5, length(lists:usort([element(I, S) || S <- [Forked | Seen]])))
     || I <- [1, 2]],
    {error, {sandbox, {failed, Text}}} =
        py_context:new(#{policy => #{level => default, spawn => exec,
                                     preload => [no_such_module]}}),
    ?assert(binary:match(Text, <<"no_such_module">>) =/= nomatch).

%%% What is told

info(_) ->
    {ok, #{default := Default, strict := Strict}} = py:sandbox_info(),
    ?assert(lists:member(seccomp, Default)),
    ?assertEqual(Default, Strict),
    ?assertMatch({error, {runtime_failed, nothing, _}}, py_sandbox:info(nothing)).

layers_are_told(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    {ok, #{sandbox := #{level := default, layers := Layers}}} = py_context:info(C),
    ?assertEqual(layers(), Layers),
    {ok, T} = py_context:new(#{}),
    {ok, #{sandbox := #{level := trusted, layers := []}}} = py_context:info(T),
    {ok, N} = py_context:new(#{policy => #{level => default, without => [namespaces]}}),
    {ok, #{sandbox := #{layers := Fewer}}} = py_context:info(N),
    ?assertNot(lists:member(namespaces, Fewer)),
    [ok = py_context:stop(X) || X <- [C, T, N]].

unavailable(_) ->
    Policy = #{level => default, without => [landlock, namespaces],
               require => [landlock, namespaces]},
    ?assertEqual({error, {sandbox, {unavailable, [landlock, namespaces]}}},
                 py_context:new(#{policy => Policy})),
    Ids = #{level => default, without => [pid_namespace], require => [pid_namespace]},
    ?assertEqual({error, {sandbox, {unavailable, [pid_namespace]}}},
                 py_context:new(#{policy => Ids})),
    Tmp = #{level => default, without => [namespaces], allow => [{tmp, 4096}]},
    ?assertEqual({error, {sandbox, {unavailable, [namespaces]}}},
                 py_context:new(#{policy => Tmp})),
    {error, {spawn_failed, Why}} =
        py_context:new(#{policy => #{level => default, allow => [{read, ["/no/such/place"]}]}}),
    ?assert(binary:match(Why, <<"/no/such/place">>) =/= nomatch),
    {error, {sandbox, {failed, Text}}} =
        py_context:new(#{policy => #{level => strict, preload => [no_such_module]}}),
    ?assert(binary:match(Text, <<"no_such_module">>) =/= nomatch).

%%% Grants

grants(_) ->
    {ok, _} = py:eval("1"),
    ok = py:register_function(py_sandbox_open, fun([X]) -> X + 1 end),
    ok = py:register_function(py_sandbox_shut, fun([X]) -> X + 1 end),
    Policy = #{level => default, allow => [{call, [py_sandbox_open]}]},
    {ok, C} = py_context:new(#{policy => Policy, imports => [erlang]}),
    ok = py_context:exec(C, "import erlang"),
    ?assertEqual({ok, 2}, py_context:eval(C, "erlang.call('py_sandbox_open', 1)")),
    {error, {Type, _}} = py_context:eval(C, "erlang.call('py_sandbox_shut', 1)"),
    {error, {Type, _}} = py_context:eval(C, "erlang.call('no_such_function', 1)"),
    ?assertEqual({ok, 2}, py:eval("__import__('erlang').call('py_sandbox_shut', 1)")),
    ok = py_context:stop(C).

%% A thread's calls belong to no request, and are asked the same.
calls(_) ->
    ok = py:register_function(py_sandbox_shut, fun([X]) -> X + 1 end),
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import erlang, threading\n"
                            "said = []\n"
                            "def f():\n"
                            "    try: said.append(erlang.call('py_sandbox_shut', 1))\n"
                            "    except BaseException as e: said.append('refused')\n"
                            "t = threading.Thread(target=f); t.start(); t.join()\n"),
    ?assertEqual({ok, [<<"refused">>]}, py_context:eval(C, "said")),
    ok = py_context:stop(C).

sends(_) ->
    true = register(py_sandbox_in, self()),
    Policy = #{level => default, allow => [{send, [py_sandbox_in]}]},
    {ok, C} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, "import erlang\nerlang.send('py_sandbox_in', 5)"),
    receive 5 -> ok after 10000 -> ct:fail(no_message) end,
    ?assertMatch({error, _}, py_context:exec(C, "erlang.send('init', 5)")),
    {ok, D} = py_context:new(#{policy => default}),
    ?assertMatch({error, _},
                 py_context:exec(D, "import erlang\nerlang.send('py_sandbox_in', 6)")),
    receive 6 -> ct:fail(sent) after 0 -> ok end,
    true = unregister(py_sandbox_in),
    [ok = py_context:stop(X) || X <- [C, D]].

services(_) ->
    ok = py:state_store(py_sandbox_key, 1),
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import erlang"),
    [?assertMatch({error, _}, py_context:eval(C, Code))
     || Code <- ["erlang.state_get('py_sandbox_key')", "erlang.state_set('py_sandbox_key', 2)",
                 "erlang.state_keys()", "erlang.whereis('init')", "erlang.self()",
                 "erlang.Channel()"]],
    ?assertEqual({ok, 1}, py:state_fetch(py_sandbox_key)),
    ok = py_context:stop(C).

%% Its own, empty, and no larger than it says.
%% What is passed can be read at each level, and comes back as a copy.
shared_memory(_) ->
    {ok, Shm} = py_shm:new(<<"passed">>),
    lists:foreach(fun(Level) ->
                          {ok, C} = py_context:new(#{policy => Level}),
                          ?assertEqual({ok, {<<"passed">>, true}},
                                       py_context:eval(C, "(bytes(x), x.readonly)", #{x => Shm})),
                          ?assertEqual({ok, [<<"passed">>, <<"passed">>]},
                                       py_context:eval(C, "[x, x.obj]", #{x => Shm})),
                          Make = "__import__('erlang').SharedMemory(b'made')",
                          ?assertMatch({error, {"NameError", _}}, py_context:eval(C, Make)),
                          ok = py_context:stop(C)
                  end, [default, strict]).

tmp(_) ->
    case lists:member(namespaces, layers()) of
        true -> own_tmp();
        false -> {skip, no_namespaces}
    end.

own_tmp() ->
    Policy = #{level => default, allow => [{tmp, 1 bsl 20}], limits => #{file_bytes => 1 bsl 30}},
    {ok, C} = py_context:new(#{policy => Policy}),
    {ok, D} = py_context:new(#{policy => Policy}),
    ok = py_context:exec(C, "open('/tmp/x', 'w').write('here')"),
    ?assertEqual({ok, <<"here">>}, py_context:eval(C, "open('/tmp/x').read()")),
    ?assertMatch({error, {"FileNotFoundError", _}}, py_context:eval(D, "open('/tmp/x').read()")),
    {error, {"OSError", Why}} =
        py_context:exec(C, "for i in range(100):\n"
                           "    open('/tmp/%d' % i, 'wb').write(bytes(1 << 16))"),
    ?assert(string:find(Why, "No space left") =/= nomatch),
    [ok = py_context:stop(X) || X <- [C, D]].

read_and_write(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "granted"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    ok = file:change_mode(Dir, 8#777),
    ok = file:write_file(filename:join(Dir, "in"), "in"),
    Given = #{dir => unicode:characters_to_binary(Dir)},
    {ok, R} = py_context:new(#{policy => #{level => default, allow => [{read, [Dir]}]}}),
    ?assertEqual({ok, <<"in">>}, py_context:eval(R, "open(dir + '/in').read()", Given)),
    ?assertMatch({error, {_, _}}, py_context:eval(R, "open(dir + '/out', 'w')", Given)),
    {ok, W} = py_context:new(#{policy => #{level => default, allow => [{write, [Dir]}]}}),
    ?assertEqual({ok, 3}, py_context:eval(W, "open(dir + '/out', 'w').write('out')", Given)),
    ?assertEqual({ok, <<"out">>}, file:read_file(filename:join(Dir, "out"))),
    [ok = py_context:stop(X) || X <- [R, W]].

%%% Limits

limits(_) ->
    New = fun(Limits) ->
                  {ok, C} = py_context:new(#{policy => #{level => default, limits => Limits},
                                             grace_ms => 100}),
                  C
          end,
    Wall = New(#{wall_ms => 200}),
    ok = py_context:exec(Wall, "kept = 5"),
    ?assertEqual({error, timeout}, py_context:exec(Wall, "while True: pass")),
    ?assertEqual({ok, 5}, py_context:eval(Wall, "kept")),
    Cpu = New(#{cpu_ms => 200, wall_ms => 60000}),
    ?assertEqual({error, {limit, cpu_ms}}, py_context:exec(Cpu, "while True: pass")),
    Output = New(#{output_bytes => 100000, wall_ms => 60000}),
    Flood = "import os\nwhile True: os.write(1, b'x' * 1000)",
    ?assertEqual({error, {limit, output_bytes}}, py_context:exec(Output, Flood)),
    Print = "while True: print('x' * 1000)",
    ?assertEqual({error, {limit, output_bytes}},
                 py_context:exec(Output, Print, #{output => capture})),
    Trusted = #{level => trusted, limits => #{memory => 256 bsl 20}},
    {ok, T} = py_context:new(#{policy => Trusted}),
    ?assertMatch({error, {"MemoryError", _}}, py_context:eval(T, "len(bytearray(1 << 30))")),
    ?assertMatch({ok, <<_/binary>>}, py_context:eval(T, "open('/etc/passwd').read()")),
    [ok = py_context:stop(X) || X <- [Wall, Cpu, Output, T]].

%% What no limit of a process counts.
cgroup(_) ->
    ?assertEqual({error, {sandbox, {unavailable, [cgroup]}}},
                 py_context:new(#{policy => #{level => default, without => [cgroup],
                                              require => [cgroup]}})),
    case lists:member(cgroup, layers()) of
        true -> memory_of_a_group(), processes_of_a_group();
        false -> {skip, no_cgroup}
    end.

processes_of_a_group() ->
    Policy = #{level => trusted, limits => #{procs => 3}},
    {error, {sandbox, {unavailable, [cgroup]}}} =
        py_context:new(#{policy => Policy#{without => [cgroup]}}),
    {ok, C} = py_context:new(#{policy => Policy}),
    Fork = "import os, time\n"
           "def fork():\n"
           "    for n in range(10):\n"
           "        try: pid = os.fork()\n"
           "        except BlockingIOError: return n\n"
           "        if pid == 0: time.sleep(1000)\n",
    ok = py_context:exec(C, Fork),
    ?assertEqual({ok, 3}, py_context:call(C, '__main__', fork, [])),
    ok = py_context:stop(C).

memory_of_a_group() ->
    {ok, C} = py_context:new(#{policy => #{level => trusted, limits => #{memory => 64 bsl 20}}}),
    {ok, #{sandbox := #{layers := Layers}}} = py_context:info(C),
    ?assert(lists:member(cgroup, Layers)),
    Share = "import mmap\nm = mmap.mmap(-1, 1 << 28)\n"
            "for i in range(0, 1 << 28, 4096): m[i] = 1\n",
    ?assertEqual({error, {limit, memory}}, py_context:exec(C, Share)),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% We know it by its number out here, whatever it is called inside; what others
%% are called out here means nobody there.
process_ids(_) ->
    ?assertEqual(lists:member(namespaces, layers()) andalso host_has_process_ids(),
                 lists:member(pid_namespace, layers())),
    known_by_its_number(),
    lists:member(pid_namespace, layers()) andalso
        [knows_nobody(How) || How <- [fork, exec]].

%% The second is there where the kernel says where libc keeps a thread's id, which
%% only root can do without.
host_has_process_ids() ->
    file:read_file("/proc/sys/user/max_pid_namespaces") =/= {ok, <<"0\n">>} andalso
        filelib:is_file("/proc/sys/kernel/ns_last_pid").

knows_nobody(How) ->
    {ok, C} = py_context:new(#{policy => #{level => default, without => [seccomp],
                                           require => [pid_namespace], spawn => How}}),
    {ok, #{os_pid := OsPid}} = py_context:info(C),
    ?assertEqual({ok, 0}, py_context:eval(C, "__import__('os').getppid()")),
    Kill = fun(Pid) -> py_context:eval(C, "__import__('os').kill(pid, 0)", #{pid => Pid}) end,
    Others = [OsPid, py_ct:zygote_pid(default), list_to_integer(os:getpid())],
    %% Small numbers may be somebody's there.
    [?assertMatch({error, {"ProcessLookupError", _}}, Kill(Pid)) || Pid <- Others, Pid > 100],
    ok = py_context:stop(C).

known_by_its_number() ->
    {ok, C} = py_context:new(#{policy => default, grace_ms => 60000}),
    {ok, #{os_pid := OsPid, sandbox := #{layers := Layers}}} = py_context:info(C),
    ?assert(py_ct:alive(OsPid)),
    {ok, Inside} = py_context:eval(C, "__import__('os').getpid()"),
    ?assertEqual(lists:member(pid_namespace, Layers), Inside =/= OsPid),
    ok = py_context:exec(C, "def spin():\n    while True: pass\n"),
    {Pid, Ref} = spawn_monitor(fun() ->
                                       exit(py_context:call(C, '__main__', spin, [], #{}, 2000))
                               end),
    py_ct:eventually(fun() ->
                             {ok, Text} = py_context:backtrace(C),
                             binary:match(Text, <<"in spin">>) =/= nomatch orelse Text
                     end),
    receive {'DOWN', Ref, process, Pid, Result} -> ?assertEqual({error, timeout}, Result) end,
    ?assertEqual({ok, Inside}, py_context:eval(C, "__import__('os').getpid()")),
    ok = py_context:stop(C).

%%% Pools

pools(_) ->
    {error, {invalid, level, moat}} = py_context_router:start_pool(sandboxed, 2, #{policy => moat}),
    {ok, _} = py_context_router:start_pool(sandboxed, 2, #{policy => strict}),
    [?assertMatch({error, {"PermissionError", _}},
                  py:call(sandboxed, os, fork, [])) || _ <- lists:seq(1, 4)],
    ?assertEqual({ok, 4.0}, py:call(sandboxed, math, sqrt, [16])),
    ok = py_context_router:stop_pool(sandboxed).

%%% The list of them

%% Each test that test/sandbox.md names is there, and each case is in it.
listed(_) ->
    {ok, Text} = file:read_file(filename:join(root(), "test/sandbox.md")),
    Rows = [Line || <<"|", _/binary>> = Line <- binary:split(Text, <<"\n">>, [global])],
    {match, Words} = re:run(Rows, "`([A-Za-z_0-9 .,:]+)`",
                            [global, {capture, all_but_first, binary}]),
    Named = [N || [N] <- Words],
    Cases = [atom_to_binary(N) || N <- py_sandbox_cases:names()]
        ++ [atom_to_binary(N) || {N, _} <- py_sandbox_cases:calls()],
    ?assertEqual([], Cases -- Named),
    ?assertEqual([], [N || N <- Named, not lists:member(N, Cases), not is_test(N)]).

%% Where the tests are, seen from where they run.
root() ->
    root(filename:absname(filename:dirname(code:which(?MODULE)))).

root(Dir) ->
    case filelib:is_file(filename:join(Dir, "test/sandbox.md")) of
        true -> Dir;
        false -> root(filename:dirname(Dir))
    end.

is_test(Name) ->
    case string:split(Name, ":") of
        [Suite, Case] -> defines(binary_to_list(Suite), binary_to_list(Case));
        [_] -> false
    end.

%% A case of a suite, a test of a file of Check, a misdeed.
defines("evil", Deed) ->
    in_one_of("test/progs/evil/*.c", "\"" ++ Deed ++ "\"");
defines("check_" ++ _ = File, Test) ->
    in_one_of("test/c/" ++ File ++ ".c", "START_TEST(" ++ Test ++ ")");
defines(Suite, Case) ->
    in_one_of("test/ct/" ++ Suite ++ ".erl", "\n" ++ Case ++ "(").

in_one_of(Pattern, Text) ->
    lists:any(fun(File) ->
                      {ok, Source} = file:read_file(File),
                      binary:match(Source, list_to_binary(Text)) =/= nomatch
              end, filelib:wildcard(filename:join(root(), Pattern))).

%%% After all of it

nothing_is_left(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:stop(C),
    Before = py_ct:census(),
    [begin
         {ok, X} = py_context:new(#{policy => Level}),
         _ = py_context:exec(X, Code),
         ok = py_context:stop(X)
     end || Level <- [default, strict], Code <- ["1", "import os; os.abort()"],
            _ <- lists:seq(1, 5)],
    ok = py_ct:settled(Before).
