%% SPDX-License-Identifier: Apache-2.0
%% @doc What the Python behind a port may ask of this VM, and how much it has
%% printed.
%%
%% Every port of a helper has its grants before the first byte is read from it,
%% and keeps them until its courier has ended; a port without any has no rights.
%% The context writes them; processes that run callbacks read them.
-module(py_grants).

-export([put/2, drop/1, is_stranger/1, may_call/2, may_send/2, may_have_fds/1, enforce/2,
         is_over/1]).

%% Services that any helper needs: to print what requests print, to end waits, to
%% have a segment of shared memory that it was given (and names by its secret).
-define(ALWAYS, [{<<"io">>, <<"put">>}, {<<"wait">>, <<"cancel">>}, {<<"shm">>, <<"open">>}]).

%% @doc From now on this holds for the helper of this port.
-spec put(port(), py_policy:grants()) -> ok.
put(Port, Grants) ->
    py_registry:put_grants(Port, Grants).

%% @doc Nothing holds any more.
-spec drop(port()) -> ok.
drop(Port) ->
    py_registry:drop_grants(Port).

%% @doc Is its Python that of strangers?
-spec is_stranger(port()) -> boolean().
is_stranger(Port) ->
    case py_registry:grants(Port) of
        {#{handles := _}, _} -> true;
        _ -> false
    end.

%% @doc May it call the function of this name, or this service?
-spec may_call(port(), term()) -> boolean().
may_call(Port, Name) ->
    case py_registry:grants(Port) of
        {all, _} -> true;
        {#{call := all, send := all}, _} -> true;
        {Grants, _} -> allowed(Name, Grants);
        none -> false
    end.

allowed({<<"message">>, <<"watch">>}, #{send := Send, passed := Passed}) ->
    Send =/= [] orelse Passed;
allowed({<<"message">>, <<"whereis">>}, #{send := Send}) -> Send =/= [];
allowed({<<"message">>, <<"self">>}, #{passed := Passed}) -> Passed;
allowed({_, _} = Service, _) -> lists:member(Service, ?ALWAYS);
allowed(Name, #{call := all}) -> is_binary(Name);
allowed(Name, #{call := Names}) -> lists:member(Name, Names).

%% @doc May it send to this?  To a pid if it may to those that it was passed, for it
%% has no others; but never to processes of this library, contexts above all, which do
%% what they are told, and of other nodes it is not known which those are.
-spec may_send(port(), term()) -> boolean().
may_send(Port, Dest) ->
    case py_registry:grants(Port) of
        {all, _} -> true;
        {#{send := all}, _} -> true;
        {#{passed := Passed}, _} when is_pid(Dest) -> Passed andalso not is_ours(Dest);
        {#{send := Names}, _} -> named(Dest, Names);
        none -> false
    end.

is_ours(Pid) ->
    node(Pid) =/= node() orelse py_registry:find(Pid) =/= gone
        orelse application:get_application(Pid) =:= {ok, terrarium}.

named(Dest, Names) when is_atom(Dest) -> lists:member(Dest, Names);
named(Dest, Names) when is_binary(Dest) ->
    lists:any(fun(Name) -> atom_to_binary(Name) =:= Dest end, Names);
named(_, _) -> false.

%% @doc May descriptors be handed over to it?  `gone': it has ended.
-spec may_have_fds(port()) -> boolean() | gone.
may_have_fds(Port) ->
    case py_registry:grants(Port) of
        {all, _} -> true;
        {#{fd := May}, _} -> May;
        none -> gone
    end.

%% @doc It has printed so many bytes more: if that is too much for one request, it is
%% killed.
-spec enforce(port(), non_neg_integer()) -> ok.
enforce(Port, Bytes) ->
    case py_registry:grants(Port) of
        {#{output := Max}, _} when is_integer(Max) ->
            Sum = py_registry:count_output(Port, Bytes, py_port:ended(Port)),
            _ = [py_port:kill(Port) || Sum > Max],
            ok;
        _ ->
            ok
    end.

%% @doc Has it printed too much?
-spec is_over(port()) -> boolean().
is_over(Port) ->
    case py_registry:grants(Port) of
        {#{output := Max}, Sum} when is_integer(Max) -> Sum > Max;
        _ -> false
    end.
